"""Every node is a process of this machine, and time is the wall clock."""
