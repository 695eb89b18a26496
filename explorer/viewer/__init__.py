"""What the attention viewer in the browser is sent, and the viewer as a file of its own."""
