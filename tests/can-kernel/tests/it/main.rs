//! In a guest with virtual CAN interfaces.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bus;
mod isotp_peer;
mod load;

use std::{sync::Arc, time::Duration};

use edge::{
    clock::Clock,
    sources::can::{Bus, BusError},
};
use firmware_config::gateway::Interface;

/// Runs a body in a guest with the interfaces vcan0 and vcan1, which take FD frames.
fn in_guest<F: Future<Output = ()>>(name: &str, programs: &[&str], body: impl FnOnce() -> F) {
    let interfaces = "for i in vcan0 vcan1; do ip link add dev $i type vcan; ip link set $i mtu 72; ip link set $i up; done";
    guest::inside(
        name,
        &["can", "can-raw", "vcan", "can-isotp"],
        programs,
        interfaces,
        Duration::from_secs(300),
        || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(body());
        },
    );
}

async fn open(name: &str) -> Result<Bus, BusError> {
    let interface = Interface::SocketCan {
        name: name.to_owned(),
    };
    Bus::open(&interface, Arc::new(Clock::start().unwrap())).await
}

/// Runs a command of the guest's.
fn sh(command: &str) {
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", command])
        .status()
        .unwrap();
    assert!(status.success(), "{command}");
}
