//! A Debian kernel in QEMU, for tests that need a kernel of their own: SocketCAN, which the machine's kernel may lack,
//! and power that can be cut.
//!
//! - [`Guest`]: boots, says what its script prints, and is killed in the middle of a word when asked to (`guest.rs`)
//! - [`inside`]: runs the body of a test in a guest, by carrying the test's own program into it (`inside.rs`)
//! - [`Disk`]: what outlives a guest (`disk.rs`)
//! - [`Archive`]: the files that the kernel finds when it boots (`initramfs.rs`)
//!
//! `scripts/guest` brings kernel, modules and busybox; without them a test says `skipped` and why.

mod disk;
mod guest;
mod initramfs;
mod inside;

pub use disk::Disk;
pub use guest::{Guest, Plan};
pub use initramfs::Archive;
pub use inside::inside;
