//! The frames that a car's computers send of their own accord.

use isotp::Frame;

use super::{
    field::Field,
    model::{Message, Model},
};
use crate::{
    car::{Activity, Car},
    faults::{Fault, Faults},
    truth::Sample,
};

/// How far a car has got in its messages.
#[derive(Clone, Debug)]
pub struct Broadcast {
    asset: String,
    first_column: u32,
    /// Of each message: how many frames went, and which group is next.
    sent: Vec<u64>,
    next_group: Vec<usize>,
    /// Cars do not all speak in the same tick.
    phase: u64,
}

/// A frame, and what it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadcasted {
    /// The frame as it goes over the bus, unless it is lost on the way.
    pub frame: Option<Frame>,
    /// What a reader gets by it, or would have got.
    pub samples: Vec<Sample>,
    /// Why a reader does not get it.
    pub fault: Option<Fault>,
}

impl Broadcast {
    /// The computers of car number `index`, whose columns begin at `first_column`.
    pub fn new(model: &Model, asset: &str, first_column: u32, index: usize) -> Self {
        Self {
            asset: asset.to_owned(),
            first_column,
            sent: vec![0; model.messages.len()],
            next_group: vec![0; model.messages.len()],
            phase: index as u64,
        }
    }

    /// The frames of a tick. A car that sleeps sends none.
    pub fn tick(
        &mut self,
        tick: u64,
        model: &Model,
        car: &Car,
        faults: &Faults,
    ) -> Vec<Broadcasted> {
        if car.activity == Activity::Asleep {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for (index, message) in model.messages.iter().enumerate() {
            let every = if car.activity == Activity::Driving {
                message.every_driving
            } else {
                message.every
            };
            if !(tick + self.phase).is_multiple_of(every) {
                continue;
            }
            // Of a message with groups, the first (the extremes) goes every time and one of the others after it.
            let groups = match message.groups.len() {
                0 => vec![None],
                1 => vec![Some(0)],
                count => {
                    let next = &mut self.next_group[index];
                    *next = *next % (count - 1) + 1;
                    vec![Some(0), Some(*next)]
                }
            };
            for group in groups {
                frames.extend(self.frame(index, message, group, car, faults));
            }
        }
        frames
    }

    fn frame(
        &mut self,
        index: usize,
        message: &Message,
        group: Option<usize>,
        car: &Car,
        faults: &Faults,
    ) -> Option<Broadcasted> {
        let group = group.and_then(|group| message.groups.get(group));
        let selector = group.map_or(0, |(selector, _)| *selector);
        let of_group = group.map_or(&[][..], |(_, fields)| fields);
        let counter = self.sent[index];
        self.sent[index] += 1;

        let mut data = [0_u8; 8];
        let data = data.get_mut(..message.length)?;
        let mut samples = Vec::new();
        let mut shortest = message.length;
        for field in message.fields.iter().chain(of_group) {
            let raw = field.raw(car, counter, selector);
            field.put(raw, data);
            if let (Some(column), Some(raw)) = (field.column, field.in_steps(raw)) {
                let column = self.first_column + column as u32;
                samples.push(Sample { column, raw });
                shortest = shortest.min(Field::bytes_needed(field).saturating_sub(1));
            }
        }
        let fault = [Fault::FrameLost, Fault::FrameShort]
            .into_iter()
            .find(|fault| faults.strikes(&self.asset, *fault, 1.0));
        let data = match fault {
            // No signal is complete in so few bytes.
            Some(Fault::FrameShort) => &data[..shortest],
            _ => data,
        };
        let frame = Frame::classic(message.id, data).ok()?;
        Some(Broadcasted {
            frame: (fault != Some(Fault::FrameLost)).then_some(frame),
            samples,
            fault,
        })
    }
}
