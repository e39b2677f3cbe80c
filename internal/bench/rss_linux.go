package bench

// maxRSSUnit is what getrusage counts memory in: KiB on Linux.
const maxRSSUnit = 1 << 10
