//! Texts that say where something is reached: `host:port`, and options behind a question mark.

use std::{fmt, str::FromStr};

/// A host, by name or address, and a TCP port. IPv6 addresses stand in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host`, `host:port`, `[IPv6]` or `[IPv6]:port`; the error says what is wrong with the text.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err("what stands in brackets must be an IPv6 address".to_owned());
                }
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err("only a port may follow the brackets".to_owned()),
                };
                (host, port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err("the host is missing".to_owned());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !(text.starts_with('[') || host.len() <= 253 && host.bytes().all(plain)) {
            return Err("the host may have letters, digits, dots and dashes only".to_owned());
        }
        let port = match port {
            Some(port) => port
                .parse::<u16>()
                .ok()
                .filter(|number| *number > 0 && !port.starts_with('+'))
                .ok_or("the port must be a number from 1 to 65535")?,
            None => default_port.ok_or("the port is missing")?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, None)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Takes options apart, as in `?baud=9600&parity=none`: the text before the last question mark, and the value of
/// each known option, in the order of `known`. The error names an option that is unknown, repeated or has no value.
pub fn options<'t, const N: usize>(
    text: &'t str,
    known: [&str; N],
) -> Result<(&'t str, [Option<&'t str>; N]), String> {
    let mut values = [None; N];
    let Some((before, options)) = text.rsplit_once('?') else {
        return Ok((text, values));
    };
    for option in options.split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let Some(index) = known.iter().position(|known| *known == name) else {
            return Err(format!(
                "`{name}` is not an option; the options are {}",
                known.join(", ")
            ));
        };
        if value.is_empty() {
            return Err(format!("the option `{name}` has no value"));
        }
        if values[index].replace(value).is_some() {
            return Err(format!("the option `{name}` is given twice"));
        }
    }
    Ok((before, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, default, host, port) in [
            ("meter.local:502", None, "meter.local", 502),
            ("10.0.0.7", Some(502), "10.0.0.7", 502),
            ("[fe80::1]:1502", Some(502), "fe80::1", 1502),
            ("[::1]", Some(502), "::1", 502),
        ] {
            let address = HostPort::parse(text, default);
            assert_eq!(
                address,
                Ok(HostPort {
                    host: host.to_owned(),
                    port
                }),
                "{text}"
            );
        }
        assert_eq!(
            "[::1]:9".parse::<HostPort>().map(|a| a.to_string()),
            Ok("[::1]:9".to_owned())
        );
        assert_eq!(
            "a:9".parse::<HostPort>().map(|a| a.to_string()),
            Ok("a:9".to_owned())
        );
        for (text, says) in [
            ("", "the host is missing"),
            (":502", "the host is missing"),
            ("meter", "the port is missing"),
            ("meter:", "the port must be"),
            ("meter:0", "the port must be"),
            ("meter:+5", "the port must be"),
            ("meter:70000", "the port must be"),
            ("::1:502", "the host is missing"),
            ("fe80::1", "the port must be"),
            ("met er:502", "the host may have"),
            ("user@meter:502", "the host may have"),
            ("[::1", "the bracket is not closed"),
            ("[meter]:502", "must be an IPv6 address"),
            ("[::1]502", "only a port may follow"),
        ] {
            let error = HostPort::parse(text, None).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn options_are_known_single_and_have_a_value() {
        let known = ["bus", "speed"];
        assert_eq!(
            options("a?b.log?speed=2", known),
            Ok(("a?b.log", [None, Some("2")]))
        );
        assert_eq!(options("a.log", known), Ok(("a.log", [None, None])));
        for (text, says) in [
            (
                "a?baud=1",
                "`baud` is not an option; the options are bus, speed",
            ),
            ("a?", "`` is not an option"),
            ("a?bus", "the option `bus` has no value"),
            ("a?bus=1&bus=2", "the option `bus` is given twice"),
        ] {
            let error = options(text, known).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
