"""What models, data, jobs, updates and rules are: values, and the protocols that they fill."""
