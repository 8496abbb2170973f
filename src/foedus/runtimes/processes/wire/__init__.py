"""What goes between processes: messages, signs of life, and the connections that carry what an algorithm sends."""
