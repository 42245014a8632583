//! Somebody with a telephone who looks at the gateway's page.

use std::fmt::Write as _;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its head and its body.
    pub(crate) text: String,
}

/// A browser with its cookie.
pub(crate) struct Browser {
    pub(crate) port: u16,
    cookie: Option<String>,
}

impl Browser {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, cookie: None }
    }

    /// Asks with further lines in the head.
    pub(crate) async fn ask_with(&self, what: &str, form: &str, more: &str) -> Answer {
        let mut head = format!("{what} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{more}");
        if let Some(cookie) = &self.cookie {
            let _ = write!(head, "Cookie: {cookie}\r\n");
        }
        if what.starts_with("POST") {
            let length = form.len();
            let _ = write!(
                head,
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
            );
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!("{head}\r\n{form}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("{what}: {text}")),
            text,
        }
    }

    pub(crate) async fn ask(&self, what: &str, form: &str) -> Answer {
        self.ask_with(what, form, "Origin: http://gateway\r\n")
            .await
    }

    /// Tries a PIN; with the right one the browser is in.
    pub(crate) async fn enter(&mut self, pin: &str) -> u16 {
        let answer = self.ask("POST /enter", &format!("pin={pin}")).await;
        let mut lines = answer.text.lines();
        let cookie = lines.find_map(|line| line.strip_prefix("set-cookie: "));
        if let Some(cookie) = cookie {
            for word in ["HttpOnly", "SameSite=Strict"] {
                assert!(cookie.contains(word), "{cookie}");
            }
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer.status
    }

    pub(crate) async fn page(&self) -> String {
        self.ask("GET /", "").await.text
    }

    /// The key of the session.
    pub(crate) async fn key(&self) -> String {
        let page = self.page().await;
        let key = page.split("name=\"key\" value=\"").nth(1);
        let key = key.and_then(|rest| rest.split('"').next());
        key.unwrap_or_else(|| panic!("{page}")).to_owned()
    }

    /// Presses a button, and returns what is said afterwards.
    pub(crate) async fn act(&self, act: &str, station: &str) -> String {
        let form = format!("key={}&act={act}&station={station}", self.key().await);
        let answer = self.ask("POST /act", &form).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let page = self.page().await;
        let said = page.split("role=\"status\">").nth(1);
        let said = said.and_then(|rest| rest.split('<').next());
        said.unwrap_or_else(|| panic!("{page}")).to_owned()
    }
}
