//! Blocks from the outside: golden bytes of every version, damage, lies, random bytes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use shared_protocol::{
    Ack, Answer, Assumed, Block, BlockHeader, BlockNumber, Body, Column, Command, CommandBody,
    Decimal, Digest, Encoding, Epoch, Hello, OpenError, Plan, Planned, Record, SampleBody,
    SignalDef, SignalId, SignalRef, SigningKey, Source, Stream, StreamState, Verdict,
    block::{DropReason, MAX_CONTENT, MOST_GAPS, SealedBlock},
};

fn key() -> SigningKey {
    SigningKey::from_seed([42; 32])
}

fn header(stream: Stream, samples: u32) -> BlockHeader {
    BlockHeader {
        gateway: "depot-1".parse().unwrap(),
        number: BlockNumber {
            epoch: Epoch {
                counter: 3,
                nonce: 0x0123_4567_89ab_cdef,
            },
            stream,
            seq: 1000,
        },
        boot: 77,
        wall_offset_us: Some(1_760_000_000_000_000),
        samples,
        thinned: 0,
        columns: 2,
    }
}

fn columns() -> Vec<Column> {
    let scaled = |scale: &str, offset: &str| Encoding::Scaled {
        scale: scale.parse().unwrap(),
        offset: offset.parse().unwrap(),
    };
    vec![
        Column {
            asset: "car-01".parse().unwrap(),
            source: Source::Can,
            def: SignalDef {
                signal: SignalRef::Catalogue(SignalId(1)),
                encoding: scaled("0.5", "0"),
            },
        },
        Column {
            asset: "car-01".parse().unwrap(),
            source: Source::Obd,
            def: SignalDef {
                signal: SignalRef::Named {
                    name: "M.S".into(),
                    unit: "%".into(),
                },
                encoding: scaled("0.390625", "-40"),
            },
        },
    ]
}

fn bodies() -> Vec<(&'static str, Stream, Body)> {
    let samples = (0..60i64).flat_map(|t| {
        [
            (0, t * 1_000_000, 180 - t / 7),
            (1, t * 1_000_000 + 250, t % 3),
        ]
    });
    let record = Record {
        time_us: 5,
        asset: None,
        kind: "command.answer".into(),
        payload: "{}".into(),
    };
    vec![
        (
            "columns",
            Stream::Columns,
            Body::Columns {
                first: 0,
                columns: columns(),
            },
        ),
        (
            "samples",
            Stream::Live,
            Body::Samples(SampleBody::from_samples(samples)),
        ),
        ("records", Stream::Critical, Body::Records(vec![record])),
        ("gap", Stream::Bulk, Body::Gap(DropReason::Quota)),
    ]
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let gateway: shared_protocol::GatewayId = "depot-1".parse().unwrap();
    let epoch = Epoch {
        counter: 3,
        nonce: 9,
    };
    let blocks = vec![
        (5, Digest([1; 16]), Verdict::Stored),
        (
            6,
            Digest([2; 16]),
            Verdict::Quarantined("unreadable".into()),
        ),
        (7, Digest([3; 16]), Verdict::Refused("revoked".into())),
        (8, Digest([4; 16]), Verdict::ColumnsNeeded(12)),
    ];
    let ack = Ack {
        gateway: gateway.clone(),
        time_us: 1_760_000_000_000_000,
        answers: vec![Answer {
            epoch,
            stream: Stream::Live,
            done: vec![(0, 6)],
            blocks,
        }],
    };
    let hello = Hello {
        gateway: gateway.clone(),
        version: "0.1.0".into(),
        streams: vec![StreamState {
            epoch,
            stream: Stream::Bulk,
            first: 4,
            next: 9,
        }],
    };
    let command = Command {
        gateway,
        id: [9; 16],
        issued_us: 1,
        expires_us: 2,
        body: CommandBody::SendColumns(epoch),
    };
    vec![
        ("ack", ack.seal(&key()).unwrap()),
        ("hello", hello.seal(&key()).unwrap()),
        ("command", command.seal(&key()).unwrap()),
    ]
}

fn golden(version: &str, name: &str) -> Vec<u8> {
    let file = golden_folder(version).join(format!("{name}.bin"));
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn golden_folder(version: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{version}"))
}

/// What any version wrote must stay readable for ever.
#[test]
fn golden_bytes_are_read() {
    for version in ["v1", "v2"] {
        for (name, stream, body) in bodies() {
            let golden = golden(version, name);
            let sealed = SealedBlock::open(&golden).unwrap();
            sealed.verify(&key().verifying_key()).unwrap();
            assert_eq!(sealed.header, header(stream, body.len().max(1) as u32));
            assert_eq!(sealed.content().unwrap(), body);
        }
        let public = key().verifying_key();
        let gateway = "depot-1".parse().unwrap();
        let again = [
            Ack::open(&golden(version, "ack"), &public, &gateway)
                .unwrap()
                .seal(&key()),
            Hello::open(&golden(version, "hello"), &public)
                .unwrap()
                .seal(&key()),
            Command::open(&golden(version, "command"), &public, &gateway)
                .unwrap()
                .seal(&key()),
        ];
        for ((name, bytes), again) in messages().into_iter().zip(again) {
            assert_eq!(again, Some(bytes), "{version} {name}");
        }
    }
}

/// What is written stays what it is while the version is 2.
/// `PATIO_WRITE_GOLDEN=1` writes files that are missing; it never overwrites one.
#[test]
fn golden_bytes_of_version_2() {
    let folder = golden_folder("v2");
    let sealed = bodies().into_iter().map(|(name, stream, body)| {
        let count = body.len().max(1) as u32;
        (
            name,
            Block {
                header: header(stream, count),
                body,
            }
            .seal(&key())
            .unwrap(),
        )
    });
    for (name, bytes) in sealed.chain(messages()) {
        let file = folder.join(format!("{name}.bin"));
        if std::env::var_os("PATIO_WRITE_GOLDEN").is_some() && !file.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &bytes).unwrap();
        }
        assert_eq!(
            hex::encode(golden("v2", name)),
            hex::encode(&bytes),
            "{name}"
        );
    }
}

/// Ranges of gaps are the only thing that is written in version 3.
#[test]
fn golden_bytes_of_version_3() {
    let body = Body::Gaps {
        reason: DropReason::Quota,
        last: 7 + MOST_GAPS - 1,
    };
    let mut header = header(Stream::Bulk, 60_000);
    header.number.seq = 7;
    header.thinned = 9;
    let block = Block { header, body };
    let bytes = block.seal(&key()).unwrap();
    let file = golden_folder("v3").join("gaps.bin");
    if std::env::var_os("PATIO_WRITE_GOLDEN").is_some() && !file.exists() {
        std::fs::create_dir_all(golden_folder("v3")).unwrap();
        std::fs::write(&file, &bytes).unwrap();
    }
    let golden = golden("v3", "gaps");
    assert_eq!(hex::encode(&golden), hex::encode(&bytes));
    let sealed = SealedBlock::open(&golden).unwrap();
    sealed.verify(&key().verifying_key()).unwrap();
    assert_eq!(sealed.header, block.header);
    assert_eq!(sealed.content().unwrap(), block.body);
    // A reader of version 2 does not take it for anything else.
    assert_eq!(golden[2], 3);
    for last in [0, 6, 7, 7 + MOST_GAPS, u64::MAX] {
        let body = Body::Gaps {
            reason: DropReason::Damaged,
            last,
        };
        let header = block.header.clone();
        let bytes = Block { header, body }.seal(&key()).unwrap();
        let refused = SealedBlock::open(&bytes).unwrap().content().unwrap_err();
        assert!(
            refused.to_string().contains("no range of gaps"),
            "{refused}"
        );
    }
}

/// Plans that assume something of other cars are the only thing that is written in version 4. Gateways that do not know it
/// ignore it, and take the same plan as it always was written.
#[test]
fn golden_bytes_of_version_4() {
    let plan = Plan {
        from_us: 1_760_000_000_000_000,
        until_us: 1_760_036_000_000_000,
        stations: vec![Planned {
            station: "station-01".parse().unwrap(),
            token: Some("CARD".into()),
            critical: true,
            departure_us: Some(1_760_030_000_000_000),
            energy_wh: Some(9000),
            power: vec![(1_760_010_000_000_000, 7000)],
        }],
    };
    let assumed = Assumed {
        energy_wh: 20_000,
        leaves_after_s: 28_800,
    };
    let command = Command {
        gateway: "depot-1".parse().unwrap(),
        id: [9; 16],
        issued_us: 1,
        expires_us: 2,
        body: CommandBody::PlanAssuming(plan, assumed),
    };
    let older = command.for_older().unwrap();
    assert_eq!(older.for_older(), None);
    for (version, command) in [(2, &older), (4, &command)] {
        let bytes = command.seal(&key()).unwrap();
        let folder = golden_folder(&format!("v{version}"));
        let file = folder.join("plan.bin");
        if std::env::var_os("PATIO_WRITE_GOLDEN").is_some() && !file.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &bytes).unwrap();
        }
        let golden = golden(&format!("v{version}"), "plan");
        assert_eq!(hex::encode(&golden), hex::encode(&bytes), "{version}");
        assert_eq!(golden[2], version);
        let public = key().verifying_key();
        let read = Command::open(&golden, &public, &command.gateway).unwrap();
        assert_eq!((read.id, &read), ([9; 16], command));
    }
}

#[test]
fn lies_are_refused() {
    let (_, stream, body) = bodies().remove(1);
    let sealed = |header: BlockHeader| {
        Block {
            header,
            body: body.clone(),
        }
        .seal(&key())
        .unwrap()
    };
    let content = |bytes: &[u8]| SealedBlock::open(bytes).and_then(|b| b.content().map(|_| ()));
    let count = body.len() as u32;
    assert_eq!(content(&sealed(header(stream, count))), Ok(()));
    let wrong_count = content(&sealed(header(stream, count - 1))).unwrap_err();
    assert!(
        wrong_count
            .to_string()
            .contains("more of them than announced"),
        "{wrong_count}"
    );
    let too_few = content(&sealed(header(stream, count + 1))).unwrap_err();
    assert!(
        too_few
            .to_string()
            .contains("121 samples were announced, 120 are there"),
        "{too_few}"
    );
    let unknown_column = content(&sealed(BlockHeader {
        columns: 1,
        ..header(stream, count)
    }))
    .unwrap_err();
    assert!(
        unknown_column.to_string().contains("a column is used"),
        "{unknown_column}"
    );
    let other = SigningKey::from_seed([1; 32]).verifying_key();
    let bytes = sealed(header(stream, count));
    assert!(matches!(
        SealedBlock::open(&bytes).unwrap().verify(&other),
        Err(OpenError::Signature(_))
    ));
}

/// A few bytes that would decompress to gigabytes cost no more than what they announce, which is bounded.
#[test]
fn a_compression_bomb_is_bounded() {
    let bomb = zstd::bulk::compress(&vec![0u8; 64 * 1024 * 1024], 19).unwrap();
    let header =
        bincode::encode_to_vec(header(Stream::Live, 1), bincode::config::standard()).unwrap();
    for announced in [10u64, MAX_CONTENT as u64] {
        let mut body = vec![header.len() as u8];
        body.extend(&header);
        let mut rest = announced;
        while rest >= 0x80 {
            body.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        body.push(rest as u8);
        body.extend(&bomb);
        let bytes =
            shared_protocol::envelope::seal(shared_protocol::envelope::Kind::Block, &body, &key())
                .unwrap();
        let error = SealedBlock::open(&bytes).unwrap().content().unwrap_err();
        let said = error.to_string();
        let refused = format!("the content is not the {announced} bytes it was announced as");
        assert!(said.contains(&refused), "{said}");
    }
}

proptest! {
    #[test]
    fn any_samples_round_trip(samples in proptest::collection::vec((0u32..50, 0i64..1_000_000_000_000, any::<i64>()), 1..300)) {
        let body = SampleBody::from_samples(samples);
        let head = BlockHeader { columns: 50, ..header(Stream::Bulk, body.len() as u32) };
        let block = Block { header: head, body: Body::Samples(body) };
        let bytes = block.seal(&key()).unwrap();
        let sealed = SealedBlock::open(&bytes).unwrap();
        sealed.verify(&key().verifying_key()).unwrap();
        prop_assert_eq!(Block { header: sealed.header.clone(), body: sealed.content().unwrap() }, block);
    }

    /// Damage behind a valid checksum (what a hostile gateway can send) is an error or another block, never a panic.
    #[test]
    fn any_damage_is_survived(index in any::<prop::sample::Index>(), byte in any::<u8>(), which in 0usize..4) {
        let (_, stream, body) = bodies().remove(which);
        let sealed = Block { header: header(stream, body.len().max(1) as u32), body }.seal(&key()).unwrap();
        let mut inner = sealed[8..sealed.len() - 68].to_vec();
        let at = index.index(inner.len());
        inner[at] = byte;
        let bytes = shared_protocol::envelope::seal(shared_protocol::envelope::Kind::Block, &inner, &key()).unwrap();
        if let Ok(sealed) = SealedBlock::open(&bytes) {
            let _ = sealed.content();
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(SealedBlock::open(&bytes).is_err());
        for kind in [shared_protocol::envelope::Kind::Block, shared_protocol::envelope::Kind::Hello] {
            let sealed = shared_protocol::envelope::seal(kind, &bytes, &key()).unwrap();
            if let Ok(block) = SealedBlock::open(&sealed) {
                let _ = block.content();
            }
            let _ = Hello::open(&sealed, &key().verifying_key());
        }
    }
}

#[test]
fn decimals_on_the_wire_are_normalised() {
    let bytes = bincode::encode_to_vec((100i64, -2i8), bincode::config::standard()).unwrap();
    let (decimal, _) =
        bincode::decode_from_slice::<Decimal, _>(&bytes, bincode::config::standard()).unwrap();
    assert_eq!(decimal, Decimal::ONE);
    let bytes = bincode::encode_to_vec((1i64, 100i8), bincode::config::standard()).unwrap();
    assert!(bincode::decode_from_slice::<Decimal, _>(&bytes, bincode::config::standard()).is_err());
}
