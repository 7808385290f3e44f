"""What people see: pages for a browser, over the same rooms as the API, which they ask for everything that changes."""
