"""A program that hangs."""

import time

time.sleep(3600)
