//! From bytes to a block that is believed: frame, header, key, signature, content. Pure.

use bytes::Bytes;
use platform::GatewayKeys;
use shared_protocol::{BlockHeader, Body, Digest, OpenError, Stream, block::SealedBlock};

use crate::outcome::Reason;

/// Greatest number of a block: what follows it still fits a database's range.
const GREATEST_SEQ: u64 = 1 << 62;

/// What a payload says of itself; not believed.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) header: BlockHeader,
    pub(crate) digest: Digest,
}

/// Reads frame and header.
pub(crate) fn claim(payload: &[u8]) -> Result<Claim, (Reason, String)> {
    match SealedBlock::open(payload) {
        Ok(sealed) => Ok(Claim {
            header: sealed.header,
            digest: sealed.digest,
        }),
        Err(error) => {
            let reason = match error {
                OpenError::Foreign | OpenError::Version(_) | OpenError::Kind(_) => Reason::Foreign,
                _ => Reason::Damaged,
            };
            Err((reason, error.to_string()))
        }
    }
}

/// Whether the gateway is believed to have sent it.
#[derive(Debug)]
pub(crate) enum Belief {
    /// It has: the gateway and the key have these numbers. The content may still be unusable: then it says why.
    Its {
        gateway_id: i32,
        key: i32,
        content: Result<Body, (Reason, String)>,
    },
    /// It has, but it, or the key, was revoked.
    Revoked(String),
    /// Nobody can say.
    Nobodys(Reason, String),
}

/// Verifies a payload that made this claim, and opens it.
pub(crate) fn believe(payload: &Bytes, claim: &Claim, keys: &GatewayKeys) -> Belief {
    let sealed = match SealedBlock::again(payload, claim.header.clone(), claim.digest) {
        Ok(sealed) => sealed,
        Err(error) => return Belief::Nobodys(Reason::Damaged, error.to_string()),
    };
    let header = &claim.header;
    let signed = keys.keys.iter().find(|key| {
        key.from_counter <= header.number.epoch.counter && sealed.verify(&key.public).is_ok()
    });
    let Some(key) = signed else {
        let detail = format!("it is signed by none of the keys of {}", header.gateway);
        return Belief::Nobodys(Reason::WrongSignature, detail);
    };
    if keys.revoked {
        return Belief::Revoked(format!("gateway {} was revoked", header.gateway));
    }
    if key.revoked {
        return Belief::Revoked(format!("the key {} was revoked", key.public));
    }
    if header.number.seq >= GREATEST_SEQ {
        let detail = format!("no gateway has made {} blocks", header.number.seq);
        return Belief::Nobodys(Reason::Impossible, detail);
    }
    let content = sealed
        .content()
        .map_err(|error| (Reason::Unreadable, error.to_string()))
        .and_then(|body| belongs(&body, header.number.stream).map(|()| body));
    Belief::Its {
        gateway_id: keys.id,
        key: key.id,
        content,
    }
}

fn belongs(body: &Body, stream: Stream) -> Result<(), (Reason, String)> {
    let fits = match body {
        Body::Columns { .. } => stream == Stream::Columns,
        Body::Samples(_) | Body::Records(_) => stream != Stream::Columns,
        Body::Gap(_) | Body::Gaps { .. } => true,
    };
    if fits {
        return Ok(());
    }
    let what = match body {
        Body::Columns { .. } => "definitions of columns",
        Body::Samples(_) => "samples",
        Body::Records(_) => "records",
        Body::Gap(_) | Body::Gaps { .. } => "a gap",
    };
    let detail = format!("{what} do not belong into stream {}", stream.name());
    Err((Reason::Impossible, detail))
}
