//! Frames, filters, and an interface that goes away.

use std::time::Duration;

use edge::sources::can::Bus;
use isotp::{CanId, Frame};

use crate::{in_guest, open, sh};

fn standard(id: u32) -> CanId {
    CanId::standard(id).unwrap()
}

/// Frames that arrive until there is silence.
async fn all(bus: &mut Bus) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Ok(received) = tokio::time::timeout(Duration::from_millis(500), bus.receive()).await {
        frames.push(received.unwrap().frame);
    }
    frames
}

#[test]
fn frames_of_every_kind_pass() {
    in_guest("bus::frames_of_every_kind_pass", &["cansend"], || async {
        let (mut ours, mut theirs) = (open("vcan0").await.unwrap(), open("vcan0").await.unwrap());
        let mut other = open("vcan1").await.unwrap();
        let extended = CanId::extended(0x18da_f110).unwrap();
        let mut sent = vec![
            Frame::classic(standard(0), &[]).unwrap(),
            Frame::classic(standard(0x7ff), &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(),
            Frame::classic(extended, &[9]).unwrap(),
            Frame::fd(extended, &[5; 64]).unwrap(),
            Frame::fd(standard(0x123), &[]).unwrap(),
        ];
        for frame in &sent {
            theirs.send(frame).await.unwrap();
        }
        // A remote frame is no data; another program's frames are as good as ours.
        sh("cansend vcan0 123#R && cansend vcan0 1F334455#1122 && cansend vcan0 321##0AABB");
        sent.push(Frame::classic(CanId::extended(0x1f33_4455).unwrap(), &[0x11, 0x22]).unwrap());
        sent.push(Frame::fd(standard(0x321), &[0xaa, 0xbb]).unwrap());
        assert_eq!(all(&mut ours).await, sent);
        assert!(all(&mut other).await.is_empty());
        // Our own frames do not come back to us.
        assert_eq!(all(&mut theirs).await, sent[5..]);
    });
}

#[test]
fn the_kernel_passes_only_what_is_wanted() {
    in_guest(
        "bus::the_kernel_passes_only_what_is_wanted",
        &[],
        || async {
            let (mut ours, mut theirs) =
                (open("vcan0").await.unwrap(), open("vcan0").await.unwrap());
            let extended = CanId::extended(0x7e8).unwrap();
            ours.listen_to(&[standard(0x7e8), standard(0x100)]).unwrap();
            for id in (0..0x7ff).map(standard).chain([extended]) {
                theirs
                    .send(&Frame::classic(id, &[1]).unwrap())
                    .await
                    .unwrap();
            }
            let ids: Vec<_> = all(&mut ours).await.iter().map(Frame::id).collect();
            assert_eq!(ids, [standard(0x100), standard(0x7e8)]);
            // More than the kernel takes: then all pass.
            let many: Vec<_> = (0..600).map(standard).collect();
            let mut open_to_all = open("vcan0").await.unwrap();
            open_to_all.listen_to(&many).unwrap();
            theirs
                .send(&Frame::classic(standard(0x7aa), &[1]).unwrap())
                .await
                .unwrap();
            assert_eq!(all(&mut open_to_all).await.len(), 1);
        },
    );
}

#[test]
fn an_interface_goes_down_and_comes_up_again() {
    in_guest(
        "bus::an_interface_goes_down_and_comes_up_again",
        &["cansend"],
        || async {
            let mut bus = open("vcan0").await.unwrap();
            sh("cansend vcan0 100#01 && ip link set vcan0 down");
            let mut received = Vec::new();
            let error = loop {
                let waited = tokio::time::timeout(Duration::from_secs(10), bus.receive()).await;
                match waited.expect("somebody tells that the interface is down") {
                    Ok(frame) => received.push(frame.frame),
                    Err(error) => break error,
                }
            };
            assert_eq!(received.len(), 1, "a frame that came before is not lost");
            assert!(error.to_string().contains("vcan0"), "{error}");
            let frame = Frame::classic(standard(1), &[1]).unwrap();
            assert!(bus.send(&frame).await.is_err());

            sh("ip link set vcan0 up");
            let mut again = open("vcan0").await.unwrap();
            sh("cansend vcan0 100#02");
            assert_eq!(all(&mut again).await.len(), 1);

            let missing = open("can7").await.unwrap_err().to_string();
            assert!(
                missing.contains("can7") && missing.contains("ip link show"),
                "{missing}"
            );
        },
    );
}
