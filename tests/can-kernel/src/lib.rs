//! The gateway's CAN source and its ISO-TP engine against a Linux kernel's SocketCAN and ISO-TP. The kernel of the machine
//! may have neither, so each test carries itself into a guest that has: see `tests/it`.
