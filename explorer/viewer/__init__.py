"""The viewer: what the browser is sent, and the page of its own."""
