//! `edge pin`: the hash of a PIN, for the configuration.

use std::io::stdin;

use edge::page;

use super::Failure;

pub(super) fn pin() -> Result<(), Failure> {
    let mut line = String::new();
    stdin().read_line(&mut line).map_err(Failure::running)?;
    println!("{}", page::hash(line.trim()).map_err(Failure::input)?);
    Ok(())
}
