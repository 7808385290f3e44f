"""A program that ends as where memory runs out."""

import os
import signal

os.kill(os.getpid(), signal.SIGKILL)
