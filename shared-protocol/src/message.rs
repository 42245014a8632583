//! The small signed messages: acknowledgements, hellos, commands.

use bincode::{Decode, Encode};

use crate::{
    AssetKey, Assumed, BlockNumber, Digest, Epoch, GatewayId, OpenError, Plan, SigningKey, Stream,
    VerifyingKey,
    envelope::{self, Envelope, Kind, MAX_ENVELOPE},
};

/// What became of a block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// Its rows are committed (now, or by an earlier delivery): the gateway may free it.
    Stored,
    /// It cannot be used; its bytes are kept in the cloud's quarantine and the ledger moved: the gateway may free it.
    Quarantined(String),
    /// It is not taken, and sending it again does not help: keep it, stop sending it, tell people why.
    Refused(String),
    /// It cannot be opened yet: send the columns of its epoch from this number on, then the block again.
    ColumnsNeeded(u32),
}

/// The cloud's word on blocks of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Answer {
    /// The epoch.
    pub epoch: Epoch,
    /// The stream.
    pub stream: Stream,
    /// Ranges of numbers, first and last inclusive, ascending, whose ledger entries are closed.
    pub done: Vec<(u64, u64)>,
    /// What became of single blocks; the digest names the content that is meant.
    pub blocks: Vec<(u64, Digest, Verdict)>,
}

/// Acknowledgements: published after the database's COMMIT, and as the answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// To whom.
    pub gateway: GatewayId,
    /// When, in microseconds since 1970 by the cloud's clock.
    pub time_us: i64,
    /// The answers.
    pub answers: Vec<Answer>,
}

/// What a gateway still holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StreamState {
    /// The epoch.
    pub epoch: Epoch,
    /// The stream.
    pub stream: Stream,
    /// Lowest number that is not acknowledged.
    pub first: u64,
    /// Number that the next block will have.
    pub next: u64,
}

/// The first word of a gateway on every new connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Who.
    pub gateway: GatewayId,
    /// Version of the gateway's software.
    pub version: String,
    /// What it still holds.
    pub streams: Vec<StreamState>,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CommandBody {
    /// Answer, to prove that commands arrive.
    Ping,
    /// Send the definitions of an epoch's columns again.
    SendColumns(Epoch),
    /// Keep this plan instead of the one before; of cars of which it says nothing nothing is assumed.
    Plan(Plan),
    /// Have the computers of a vehicle forget their trouble codes. Done only while it stands still.
    ClearTroubleCodes(AssetKey),
    /// Tell a charging station something: a [`StationOrder`](crate::StationOrder) as JSON.
    Station(String),
    /// Keep this plan instead of the one before, and assume this of cars of which it says nothing.
    PlanAssuming(Plan, Assumed),
}

impl CommandBody {
    /// What it is called where people see it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::SendColumns(_) => "send-columns",
            Self::Plan(_) | Self::PlanAssuming(..) => "plan",
            Self::ClearTroubleCodes(_) => "clear-trouble-codes",
            Self::Station(_) => "station",
        }
    }
}

/// A command. The gateway carries it out at most once, not after it expired, and answers with a record of kind
/// `command.answer`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Command {
    /// To whom.
    pub gateway: GatewayId,
    /// Random; names the command in its answer and makes a second delivery harmless.
    pub id: [u8; 16],
    /// When it was issued, in microseconds since 1970.
    pub issued_us: i64,
    /// After when it must not be carried out, in microseconds since 1970.
    pub expires_us: i64,
    /// What to do.
    pub body: CommandBody,
}

/// A message that is a body of one kind of envelope.
trait Message: Encode + Decode<()> {
    const KIND: Kind;

    /// The lowest version of the format that knows it.
    fn version(&self) -> u8 {
        envelope::VERSION
    }

    fn seal(&self, key: &SigningKey) -> Option<Vec<u8>> {
        let body = bincode::encode_to_vec(self, config()).ok()?;
        envelope::seal_as(self.version(), Self::KIND, &body, key)
    }

    fn open(bytes: &[u8], key: &VerifyingKey, whose: &str) -> Result<Self, OpenError> {
        let envelope = Envelope::open(bytes, Self::KIND)?;
        envelope.verify(key, whose)?;
        decode(&envelope)
    }
}

fn decode<T: Decode<()>>(envelope: &Envelope<'_>) -> Result<T, OpenError> {
    let body = envelope.body();
    match bincode::decode_from_slice::<T, _>(body, config()) {
        Ok((message, used)) if used == body.len() => Ok(message),
        Ok(_) => Err(OpenError::Content("something follows the message".into())),
        Err(e) => Err(OpenError::Content(e.to_string())),
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_ENVELOPE>()
}

impl Message for Ack {
    const KIND: Kind = Kind::Ack;
}
impl Message for Hello {
    const KIND: Kind = Kind::Hello;
}
impl Message for Command {
    const KIND: Kind = Kind::Command;

    fn version(&self) -> u8 {
        match self.body {
            CommandBody::PlanAssuming(..) => envelope::VERSION_OF_ASSUMED,
            _ => envelope::VERSION,
        }
    }
}

impl Ack {
    /// Signs it with the cloud's key; `None` when it is too long for an envelope.
    pub fn seal(&self, key: &SigningKey) -> Option<Vec<u8>> {
        Message::seal(self, key)
    }

    /// Reads one that the cloud's key signed for this gateway.
    pub fn open(
        bytes: &[u8],
        cloud: &VerifyingKey,
        gateway: &GatewayId,
    ) -> Result<Self, OpenError> {
        let ack = <Self as Message>::open(bytes, cloud, "the cloud")?;
        addressed(&ack.gateway, gateway)?;
        Ok(ack)
    }
}

impl Hello {
    /// Signs it with the gateway's key; `None` when it is too long for an envelope.
    pub fn seal(&self, key: &SigningKey) -> Option<Vec<u8>> {
        Message::seal(self, key)
    }

    /// Who says to have sent it: for finding the key, not to be believed.
    pub fn claimed_gateway(bytes: &[u8]) -> Result<GatewayId, OpenError> {
        decode::<Self>(&Envelope::open(bytes, Kind::Hello)?).map(|hello| hello.gateway)
    }

    /// Reads one that the gateway's key signed.
    pub fn open(bytes: &[u8], key: &VerifyingKey) -> Result<Self, OpenError> {
        <Self as Message>::open(bytes, key, "the gateway")
    }
}

impl Command {
    /// Signs it with the cloud's key; `None` when it is too long for an envelope.
    pub fn seal(&self, key: &SigningKey) -> Option<Vec<u8>> {
        Message::seal(self, key)
    }

    /// Reads one that the cloud's key signed for this gateway. Whether it has expired is the caller's to judge.
    pub fn open(
        bytes: &[u8],
        cloud: &VerifyingKey,
        gateway: &GatewayId,
    ) -> Result<Self, OpenError> {
        let command = <Self as Message>::open(bytes, cloud, "the cloud")?;
        addressed(&command.gateway, gateway)?;
        Ok(command)
    }

    /// The same for a gateway that does not know all of it yet, and ignores it: to be sent after it, under the same id, so that a
    /// gateway that has taken the whole of it does nothing again. `None`: every gateway knows all of it.
    pub fn for_older(&self) -> Option<Self> {
        let CommandBody::PlanAssuming(plan, _) = &self.body else {
            return None;
        };
        Some(Self {
            body: CommandBody::Plan(plan.clone()),
            ..self.clone()
        })
    }
}

fn addressed(to: &GatewayId, us: &GatewayId) -> Result<(), OpenError> {
    if to == us {
        Ok(())
    } else {
        Err(OpenError::Content(format!(
            "it is for gateway {to}, this is {us}"
        )))
    }
}

impl Answer {
    /// What became of the block with this number and content, as far as this answer tells.
    ///
    /// A verdict on another content of the same number says nothing about this one.
    pub fn verdict(&self, number: &BlockNumber, digest: &Digest) -> Option<&Verdict> {
        if (self.epoch, self.stream) != (number.epoch, number.stream) {
            return None;
        }
        self.blocks
            .iter()
            .find(|(seq, of, _)| *seq == number.seq && of == digest)
            .map(|(_, _, verdict)| verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str) -> GatewayId {
        name.parse().unwrap()
    }

    #[test]
    fn messages_are_for_one_gateway_and_from_one_key() {
        let (cloud, other) = (
            SigningKey::from_seed([1; 32]),
            SigningKey::from_seed([2; 32]),
        );
        let ack = Ack {
            gateway: gateway("a"),
            time_us: 5,
            answers: vec![],
        };
        let bytes = ack.seal(&cloud).unwrap();
        assert_eq!(
            Ack::open(&bytes, &cloud.verifying_key(), &gateway("a")).unwrap(),
            ack
        );
        assert!(Ack::open(&bytes, &cloud.verifying_key(), &gateway("b")).is_err());
        assert!(Ack::open(&bytes, &other.verifying_key(), &gateway("a")).is_err());
        assert!(matches!(
            Command::open(&bytes, &cloud.verifying_key(), &gateway("a")),
            Err(OpenError::Kind(_))
        ));
        let hello = Hello {
            gateway: gateway("a"),
            version: "1".into(),
            streams: vec![],
        };
        let bytes = hello.seal(&other).unwrap();
        assert_eq!(Hello::claimed_gateway(&bytes).unwrap(), gateway("a"));
        assert_eq!(Hello::open(&bytes, &other.verifying_key()).unwrap(), hello);
        assert!(Hello::open(&bytes, &cloud.verifying_key()).is_err());
    }

    #[test]
    fn a_verdict_binds_number_and_content() {
        let epoch = Epoch {
            counter: 1,
            nonce: 2,
        };
        let number = BlockNumber {
            epoch,
            stream: Stream::Live,
            seq: 7,
        };
        let (digest, another) = (Digest([1; 16]), Digest([2; 16]));
        let answer = Answer {
            epoch,
            stream: Stream::Live,
            done: vec![],
            blocks: vec![(7, digest, Verdict::Stored)],
        };
        assert_eq!(answer.verdict(&number, &digest), Some(&Verdict::Stored));
        assert_eq!(answer.verdict(&number, &another), None);
        assert_eq!(
            answer.verdict(&BlockNumber { seq: 8, ..number }, &digest),
            None
        );
        assert_eq!(
            answer.verdict(
                &BlockNumber {
                    stream: Stream::Bulk,
                    ..number
                },
                &digest
            ),
            None
        );
    }
}
