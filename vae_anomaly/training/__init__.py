"""Training: devices, rows on their way to the device, the loop, callbacks."""
