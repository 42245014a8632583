//! Whether the next answer of a unit can be told from answers to earlier requests. Pure; the argument is in the
//! documentation of the crate.

use crate::codec::Shape;

/// What is known about the answers of a unit that may still be under way.
///
/// Invariant: while `proven` is `Some(shape)`, the last request sent to the unit was answered by an answer of its
/// own, of this shape, and so nothing but repetitions of that answer can still come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    proven: Option<Shape>,
}

impl Trust {
    /// Whether the last request was answered.
    pub fn in_step(&self) -> bool {
        self.proven.is_some()
    }

    /// Whether the answer of this shape to the next request can be told from a repetition of the last answer.
    pub fn admits(&self, shape: &Shape) -> bool {
        self.proven.as_ref().is_some_and(|last| last != shape)
    }

    /// A request is about to be sent: until its answer is accepted nothing is known.
    pub fn sent(&mut self) {
        self.proven = None;
    }

    /// The answer to the last request was accepted, and it was not an exception.
    pub fn accepted(&mut self, shape: Shape) {
        self.proven = Some(shape);
    }
}
