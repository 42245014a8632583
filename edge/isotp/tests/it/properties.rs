//! What holds for all messages, all settings and all frames.

use std::time::Duration;

use isotp::responder::{Ecu, EcuOutput, Responder};
use isotp::uds::{
    Answer, Client, ClientOutput, DtcRecord, DtcStatus, Group, GroupOutput, ReadDtc, Request,
    Response, Timing,
};
use isotp::{Address, CanId, Config, Frame, FunctionalAddress, Link, Output, StMin};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bus::{Bus, Fate};

fn id(raw: u32, extended: bool) -> CanId {
    if extended {
        CanId::extended(raw)
    } else {
        CanId::standard(raw & 0x7FF)
    }
    .unwrap()
}

/// Every addressing mode, 11 and 29 bit.
fn address() -> impl Strategy<Value = Address> {
    let pair = (any::<bool>(), 0..0x700u32)
        .prop_map(|(extended, raw)| (id(raw, extended), id(raw + 8, extended)));
    prop_oneof![
        pair.clone().prop_map(|(tx, rx)| Address::normal(tx, rx)),
        (any::<u8>(), any::<u8>())
            .prop_filter("two nodes", |(a, b)| a != b)
            .prop_map(|(a, b)| Address::normal_fixed(a, b)),
        (pair.clone(), any::<u8>(), any::<u8>())
            .prop_map(|((tx, rx), a, b)| Address::extended(tx, rx, a, b)),
        (pair, any::<u8>()).prop_map(|((tx, rx), extension)| Address::mixed_11(tx, rx, extension)),
        (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_filter("two nodes", |(a, b, _)| a != b)
            .prop_map(|(a, b, extension)| Address::mixed_29(a, b, extension)),
    ]
}

const LENGTHS: [u8; 8] = [8, 12, 16, 20, 24, 32, 48, 64];

fn config() -> impl Strategy<Value = Config> {
    let frames = (any::<bool>(), 0..8usize, any::<Option<u8>>(), any::<bool>());
    let flow = (any::<u8>(), any::<u8>(), 0..3u8, any::<bool>());
    (address(), frames, flow).prop_map(
        |(address, (fd, length, padding, fill), (block_size, st_min, waits, confirm))| {
            let tx_data_length = if fd { LENGTHS[length] } else { 8 };
            Config {
                fd,
                tx_data_length,
                padding,
                min_length: fill.then_some(tx_data_length),
                block_size: if block_size % 3 == 0 { 0 } else { block_size },
                st_min: StMin(st_min),
                wait_frames: waits,
                confirm,
                ..Config::new(address)
            }
        },
    )
}

/// Mostly short, sometimes beyond what twelve bits can announce.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 1..100), 2 => vec(any::<u8>(), 1..600), 1 => vec(any::<u8>(), 4000..4300)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Doubled),
        1 => (0..8u8).prop_map(Fate::Late),
    ]
}

fn bus(first: &Config, second: &Config) -> Bus {
    let mirrored = Config {
        address: first.address.mirrored(),
        ..second.clone()
    };
    Bus::new(
        Link::new(first.clone()).unwrap(),
        Link::new(mirrored).unwrap(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_whole_and_paced(first in config(), second in config(), payload in payload()) {
        let mut bus = bus(&first, &second);
        bus.ends[0].send(bus.now, payload.clone()).unwrap();
        bus.run();
        prop_assert_eq!(bus.received(1), [&payload[..]]);
        prop_assert!(bus.told[0].contains(&Output::Sent));
        prop_assert!(!bus.failed(0) && !bus.failed(1));

        for sent in &bus.sent {
            let config = bus.ends[sent.by].config();
            prop_assert!(sent.frame.data().len() <= config.tx_data_length.into());
            prop_assert!(sent.frame.data().len() >= config.min_length.unwrap_or(0).into());
            prop_assert_eq!(sent.frame.is_fd(), config.fd);
        }
        let extended = first.address.tx_id().is_extended();
        prop_assert!(bus.sent.iter().all(|sent| sent.frame.id().is_extended() == extended));
        let consecutive: Vec<_> = (1..bus.sent.len()).filter(|&n| bus.sent[n].by == 0).collect();
        for pair in consecutive.windows(2) {
            let gap = bus.sent[pair[1]].at.saturating_sub(bus.sent[pair[0]].at);
            prop_assert!(gap >= second.st_min.duration(), "{gap:?}");
        }
        let clear = (0..bus.sent.len()).filter(|&n| bus.sent[n].by == 1).count();
        let blocks = match (consecutive.len(), usize::from(second.block_size)) {
            (0, _) => 0,
            (_, 0) => 1,
            (frames, size) => frames.div_ceil(size),
        };
        prop_assert_eq!(clear, blocks * (1 + usize::from(second.wait_frames)));
    }

    #[test]
    fn a_faulty_bus_gives_the_message_or_an_error(
        config in config(),
        payload in payload(),
        fates in vec(fate(), 0..700),
    ) {
        let config = Config { st_min: StMin(0), ..config };
        let mut bus = bus(&config, &config).with_fates(fates.clone());
        bus.ends[0].send(bus.now, payload.clone()).unwrap();
        bus.run();
        let received = bus.received(1);
        prop_assert!(received.iter().all(|got| *got == &payload[..]), "a wrong message");
        let mut clean = self::bus(&config, &config);
        clean.ends[0].send(clean.now, payload.clone()).unwrap();
        clean.run();
        let single = clean.sent.len() == 1;
        if single {
            let copies = match fates.first() { Some(Fate::Lost) => 0, Some(Fate::Doubled) => 2, _ => 1 };
            prop_assert_eq!(received.len(), copies);
        } else {
            prop_assert!(received.len() == 1 || bus.failed(0) || bus.failed(1), "neither message nor error");
            prop_assert!(received.len() <= 1);
        }
        prop_assert!(!bus.ends[0].is_sending() && !bus.ends[1].is_receiving());
    }

    #[test]
    fn any_frames_are_survived_in_bounded_memory(
        config in config(),
        limit in 1..100_000u32,
        own in payload(),
        frames in vec((0..4u8, vec(any::<u8>(), 0..64), 0..400u64), 0..300),
    ) {
        let address = config.address.with_functional(FunctionalAddress::normal(id(0x7DF, false)));
        let mut link = Link::new(Config { address, max_message_size: limit, ..config }).unwrap();
        let mut now = Duration::ZERO;
        let mut arrived = 0;
        link.send(now, own).unwrap();
        for (kind, mut data, gap) in frames {
            data.resize(LENGTHS.iter().copied().map(usize::from).chain(0..8).find(|&l| l >= data.len()).unwrap_or(64), 0x55);
            // Steer towards frames that mean something: the right address byte, then a type there is.
            let prefix = address.rx_prefix();
            if let (Some(first), Some(prefix)) = (data.first_mut(), prefix) {
                *first = prefix;
            }
            if let Some(byte) = data.get_mut(usize::from(prefix.is_some())) {
                *byte = kind << 4 | *byte & 0x0F;
            }
            let id = if kind == 3 && gap % 7 == 0 { FunctionalAddress::OBD_11.id } else { address.rx_id() };
            let Ok(frame) = Frame::fd(id, &data) else { continue };
            arrived += data.len();
            now += Duration::from_millis(gap);
            link.on_frame(now, &frame);
            while let Some(output) = link.poll(now) {
                if let Output::Received { payload, .. } = output {
                    prop_assert!(payload.len() <= arrived && payload.len() <= 62.max(limit as usize));
                }
                link.transmitted(now);
            }
            prop_assert!(link.receive_capacity() <= 2 * arrived + 128);
            prop_assert!(link.next_deadline().is_none_or(|at| at > now), "something is due after polling");
        }
    }

    #[test]
    fn any_answer_is_survived(request in request(), mut payload in vec(any::<u8>(), 0..80), fits in any::<bool>()) {
        if fits && !payload.is_empty() {
            let bytes = request.encode().unwrap();
            payload[0] = bytes[0] | 0x40;
            for (to, from) in payload.iter_mut().skip(1).zip(bytes.iter().skip(1).take(4)) {
                *to = *from;
            }
        }
        let _ = Response::parse(&payload).map_err(|error| error.to_string());
        if let Some(answer) = Answer::new(request.clone(), payload.clone()) {
            prop_assert_eq!(payload[0], request.service() | 0x40);
            prop_assert!(payload.ends_with(answer.record()));
            let lengths = [(0xF190, 17), (0x0101, 0), (0, 1)];
            for (id, value) in answer.data_identifiers(&lengths).unwrap_or_default() {
                let at = value.as_ptr() as usize - answer.payload().as_ptr() as usize;
                prop_assert_eq!(&answer.payload()[at - 2..at], &id.to_be_bytes());
            }
            let counts = [
                answer.pids().map_or(0, |v| v.len()),
                answer.supported().map_or(0, |v| v.iter().count()),
                answer.obd_dtcs().map_or(0, |v| v.len()),
                answer.dtc_report().map_or(0, |v| v.records.len()),
                answer.vin().map_or(0, |v| v.as_bytes().len()),
                answer.seed().map_or(0, <[u8]>::len),
            ];
            prop_assert!(counts.iter().all(|&count| count <= payload.len().max(32)));
            let _ = (answer.dtc_count(), answer.dtc_detail(), answer.session_timing());
        }
    }

    #[test]
    fn requests_read_back_as_they_were_written(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }

    #[test]
    fn any_request_and_any_frame_is_survived_by_ecu_client_and_group(
        requests in vec(vec(any::<u8>(), 0..12), 0..40),
        frames in vec((vec(any::<u8>(), 0..=8), 0..2000u64), 0..100),
    ) {
        let mut responder = responder();
        for request in &requests {
            for reply in responder.respond(request, false) {
                prop_assert!(reply.payload[0] == request[0] | 0x40 || reply.payload[..2] == [0x7F, request[0]]);
                prop_assert!(reply.payload.len() <= 4095);
            }
        }
        let address = Address::obd_11(0);
        let mut ecu = Ecu::new(Config::new(address.mirrored().with_functional(FunctionalAddress::OBD_11)), responder).unwrap();
        let mut client = Client::new(Link::new(Config::new(address)).unwrap(), Timing::default());
        let mut group = Group::obd_11(Timing::default());
        let mut now = Duration::ZERO;
        for (data, gap) in frames {
            now += Duration::from_millis(gap);
            let _ = (client.request(Request::did(0xF190)), group.request(Request::pid(0)));
            for id in [address.tx_id(), address.rx_id(), FunctionalAddress::OBD_11.id] {
                let frame = Frame::classic(id, &data).unwrap();
                ecu.on_frame(now, &frame);
                client.on_frame(now, &frame);
                group.on_frame(now, &frame);
            }
            while let Some(output) = ecu.poll(now) {
                if let EcuOutput::Transmit(frame) = output {
                    prop_assert_eq!(frame.id(), address.rx_id());
                }
            }
            while let Some(output) = client.poll(now) {
                if let ClientOutput::Finished(Ok(answer)) = output {
                    prop_assert!(answer.payload().starts_with(&[0x62, 0xF1, 0x90]));
                }
            }
            while let Some(output) = group.poll(now) {
                if let GroupOutput::Answered { result: Ok(answer), .. } = output {
                    prop_assert!(answer.payload().starts_with(&[0x41, 0x00]));
                }
            }
            for deadline in [ecu.next_deadline(), client.next_deadline(), group.next_deadline()] {
                prop_assert!(deadline.is_none_or(|at| at > now), "something is due after polling");
            }
        }
    }
}

fn responder() -> Responder {
    let mut responder = Responder::with_vin("LGXCE4CB9P0123456".parse().unwrap());
    responder
        .current
        .extend([(0x0C, vec![0, 0]), (0x5B, vec![0xC0])]);
    responder.data.insert(0x0101, vec![1; 4100]);
    responder.local_data.insert(1, vec![2; 30]);
    responder.dtcs.push(DtcRecord {
        dtc: "P0A1F-00".parse().unwrap(),
        status: DtcStatus(0x09),
    });
    responder
}

fn request() -> impl Strategy<Value = Request> {
    let byte = any::<u8>;
    let dtc = any::<[u8; 3]>().prop_map(isotp::uds::Dtc::uds);
    prop_oneof![
        proptest::sample::subsequence(vec![0x04u8, 0x05, 0x0C, 0x0D, 0x42, 0x5B], 1..=6)
            .prop_map(|pids| Request::CurrentData { pids }),
        byte().prop_map(Request::pid),
        (byte(), byte()).prop_map(|(pid, frame)| Request::FreezeFrame { pid, frame }),
        Just(Request::StoredDtcs),
        Just(Request::PendingDtcs),
        Just(Request::PermanentDtcs),
        prop_oneof![byte(), Just(2)]
            .prop_map(|info_type| Request::VehicleInformation { info_type }),
        (0..0x80u8, any::<bool>()).prop_map(|(session, suppress)| {
            Request::DiagnosticSessionControl { session, suppress }
        }),
        (0..0x80u8, any::<bool>())
            .prop_map(|(kind, suppress)| Request::EcuReset { kind, suppress }),
        (0..=0xFF_FFFFu32).prop_map(|group| Request::ClearDiagnosticInformation { group }),
        byte().prop_map(|mask| Request::ReadDtcInformation(ReadDtc::CountByStatusMask(mask))),
        byte().prop_map(|mask| Request::ReadDtcInformation(ReadDtc::ByStatusMask(mask))),
        (dtc.clone(), byte()).prop_map(|(dtc, record)| Request::ReadDtcInformation(
            ReadDtc::Snapshot { dtc, record }
        )),
        (dtc, byte()).prop_map(|(dtc, record)| Request::ReadDtcInformation(
            ReadDtc::ExtendedData { dtc, record }
        )),
        Just(Request::ReadDtcInformation(ReadDtc::Supported)),
        byte().prop_map(|id| Request::ReadDataByLocalIdentifier { id }),
        proptest::sample::subsequence(vec![0xF190u16, 0x0101, 0x0000, 0x1234], 1..=4)
            .prop_map(|ids| Request::ReadDataByIdentifier { ids }),
        (0..0x80u8, vec(any::<u8>(), 0..6))
            .prop_map(|(sub_function, data)| Request::SecurityAccess { sub_function, data }),
        any::<bool>().prop_map(|suppress| Request::TesterPresent { suppress }),
    ]
}
