//! Files over the API: kept, scanned, given out by links.

use platform::testing::{TestDatabase, on_each_database};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    http::ask,
    machine::until,
    rooms::{code, with},
    service::{EMBEDDED, Place},
};

/// A scanner that speaks clamd's protocol: it finds something in `EICAR`, and cannot look at `DOWN`.
pub(crate) async fn clamd() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut hello = [0; 10];
                stream.read_exact(&mut hello).await.unwrap();
                let mut content = Vec::new();
                loop {
                    let length = stream.read_u32().await.unwrap();
                    if length == 0 {
                        break;
                    }
                    let mut chunk = vec![0; length as usize];
                    stream.read_exact(&mut chunk).await.unwrap();
                    content.extend(chunk);
                }
                let text = String::from_utf8_lossy(&content);
                let reply = if text.contains("EICAR") {
                    "stream: Win.Test.EICAR_HDB-1 FOUND\0"
                } else if text.contains("DOWN") {
                    "no memory. ERROR\0"
                } else {
                    "stream: OK\0"
                };
                // Who asked may have gone.
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    address
}

#[test]
fn files_are_kept_scanned_and_given_out_by_links() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        place.equip(&format!("clamd = \"{}\"\n", clamd().await));
        let service = place.serve();
        let send = async |name: &str, headers: &str, content: &str| {
            let headers = format!(
                "content-type: text/plain\r\ncontent-length: {}\r\n{headers}",
                content.len()
            );
            service
                .ask(&format!("POST /v1/files?name={name}"), &headers, content)
                .await
        };
        // Longer than other bodies may be.
        let content = "the left door ".repeat(20_000);
        let once = "idempotency-key: f1\r\n";
        let made = send("a%C3%B1o%201.txt", once, &content).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let file = made.json();
        assert_eq!(
            (
                &file["name"],
                &file["size"],
                &file["scanned"],
                &file["media_type"]
            ),
            (
                &json!("año 1.txt"),
                &json!(280_000),
                &json!(true),
                &json!("text/plain")
            )
        );
        assert_eq!(
            send("a%C3%B1o%201.txt", once, &content).await.json(),
            file,
            "the same answer"
        );
        let good = "content-digest: sha-256=:7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=:\r\n";
        assert_eq!(send("b", good, "content").await.status, 201);
        for (name, headers, content, status, word) in [
            ("b", good, "Content", 422, "checksum_mismatch"),
            (
                "b",
                "content-digest: sha-256=x\r\n",
                "c",
                400,
                "bad_parameter",
            ),
            ("b", "", "an EICAR test", 422, "file_infected"),
            ("b", "", "the scanner is DOWN", 503, "files_unavailable"),
            ("a%2Fb", "", "c", 400, "bad_parameter"),
            ("", "", "c", 400, "bad_parameter"),
        ] {
            let answer = send(name, headers, content).await;
            assert_eq!(code(&answer), (status, word.to_owned()), "{content}");
        }
        let headers = "content-type: text/plain\r\ncontent-length: 99999999\r\n";
        let answer = service.ask("POST /v1/files?name=x", headers, "").await;
        assert_eq!(code(&answer), (413, "body_too_long".to_owned()));
        let page = service.get("/v1/files?limit=1").await.json();
        assert_eq!(page["items"], json!([file]));
        let page = service
            .get(&format!(
                "/v1/files?cursor={}",
                page["next"].as_str().unwrap()
            ))
            .await;
        assert_eq!(
            page.json()["items"].as_array().unwrap().len(),
            1,
            "nothing that was refused is there"
        );
        let same = service
            .get(&format!(
                "/v1/files?sha256={}",
                file["sha256"].as_str().unwrap()
            ))
            .await;
        assert_eq!(same.json()["items"], json!([file]));

        let path = format!("/v1/files/{}", file["id"]);
        assert_eq!(service.get(&path).await.json(), file);
        let link = async |seconds: u32| {
            let body = json!({"seconds": seconds}).to_string();
            let made = service.post(&format!("{path}/links"), "", &body).await;
            assert_eq!(made.status, 201, "{}", made.body);
            made.json()["path"].as_str().unwrap().to_owned()
        };
        let address = link(900).await;
        let got = ask(&service.http, &format!("GET {address}"), "", "").await;
        assert_eq!((got.status, got.body.len()), (200, content.len()));
        assert_eq!(got.body, content);
        assert_eq!(got.headers["content-type"], "text/plain");
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
        assert_eq!(
            got.headers["content-disposition"],
            "attachment; filename*=UTF-8''a%C3%B1o%201.txt"
        );
        let forged = ask(&service.http, "GET /v1/links/AAAA", "", "").await;
        assert_eq!(code(&forged), (404, "link_not_good".to_owned()));
        let short = link(1).await;
        until("it has expired", 20, || async {
            let answer = ask(&service.http, &format!("GET {short}"), "", "").await;
            answer.status == 410 && answer.json()["code"] == "link_expired"
        })
        .await;
        let theirs = place.key("other", &["files.read", "files.write"]);
        for request in ["GET", "DELETE"] {
            let answer = with(&service, &theirs, &format!("{request} {path}"), "").await;
            assert_eq!(code(&answer), (404, "file_not_found".to_owned()));
        }
        let list = with(&service, &theirs, "GET /v1/files", "").await.json();
        assert_eq!(list["items"], json!([]));
        assert_eq!(
            service.ask(&format!("DELETE {path}"), "", "").await.status,
            204
        );
        assert_eq!(service.get(&path).await.status, 404);
        let gone = ask(&service.http, &format!("GET {address}"), "", "").await;
        assert_eq!(code(&gone), (404, "file_not_found".to_owned()));
        service.stop();
    });
}
