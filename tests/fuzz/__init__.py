"""Every parser, fed with what nobody means to send: `make fuzz`, and a short form of it in `make unit`."""
