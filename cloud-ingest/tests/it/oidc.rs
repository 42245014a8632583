//! Signing in at a provider, as a browser sees it.

use std::collections::HashMap;

use access::oidc::standin::{CLIENT, Provider, SECRET, Signs, Wrong};
use jiff::Timestamp;
use platform::testing::{TestDatabase, on_each_database};
use url::{Url, form_urlencoded};

use crate::{
    http::{self, Answer, ask},
    service::{EMBEDDED, Place, Service},
};

pub(crate) const EMAIL: &str = "ana.unmistakable@example.com";

/// A provider of the organisation `default`, and a user of it whom the provider knows.
pub(crate) async fn provider(place: &Place) -> Provider {
    let provider = Provider::start(Signs::Es256, Timestamp::now()).await;
    let ring = place.ring();
    let add = [
        "oidc",
        "add",
        "acme",
        "--issuer",
        &provider.issuer(),
        "--client-id",
        CLIENT,
        "--ring",
        ring.to_str().unwrap(),
    ];
    place.run_with(&add, SECRET);
    place.run(&[
        "user",
        "add",
        "--email",
        EMAIL,
        "--name",
        "Ana Unmistakable",
        "--role",
        "viewer",
    ]);
    provider
}

/// Where the browser is sent, and the cookie that it keeps meanwhile.
pub(crate) async fn depart(service: &Service, query: &str) -> (Url, String) {
    let answer = http::get(&service.http, &format!("/v1/sign-in/oidc/acme{query}")).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let cookie = &answer.headers["set-cookie"];
    for part in [
        "patio_oidc=",
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
        "Path=/v1/sign-in/oidc",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let url = answer.headers["location"].parse().unwrap();
    (url, cookie.split(';').next().unwrap().to_owned())
}

/// Comes back with these parameters.
pub(crate) async fn back(
    service: &Service,
    cookie: &str,
    parameters: &HashMap<String, String>,
) -> Answer {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    let path = format!("GET /v1/sign-in/oidc/acme/callback?{}", query.finish());
    ask(&service.http, &path, &format!("cookie: {cookie}\r\n"), "").await
}

#[test]
fn a_browser_goes_there_and_comes_back_signed_in() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let provider = provider(&place).await;
        assert!(place.run(&["oidc", "list"]).contains(&provider.issuer()));
        let (url, cookie) = depart(&service, "?return_to=/docs?a=1%26b=%22x").await;
        let sent: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(
            sent["redirect_uri"],
            "https://patio.example.com/v1/sign-in/oidc/acme/callback"
        );
        let answer = provider.visit(&url, "sub-1", EMAIL).unwrap();
        let home = back(&service, &cookie, &answer).await;
        assert_eq!(home.status, 200, "{}", home.body);
        assert!(
            home.body
                .contains("content=\"0;url=/docs?a=1&amp;b=&quot;x\""),
            "{}",
            home.body
        );
        assert_eq!(home.headers["cache-control"], "no-store");
        let session = &home.headers["set-cookie"];
        assert!(
            session.contains("SameSite=Strict") && session.contains("HttpOnly"),
            "{session}"
        );
        let session = session.split(';').next().unwrap();
        let me = ask(
            &service.http,
            "GET /v1/me",
            &format!("cookie: {session}\r\n"),
            "",
        )
        .await;
        assert_eq!(me.status, 200, "{}", me.body);
        assert!(me.json()["csrf_token"].is_string());

        // Once; not from another browser; not elsewhere.
        let again = back(&service, &cookie, &answer).await;
        assert_eq!(
            (again.status, again.json()["code"].as_str()),
            (401, Some("sign_in_failed"))
        );
        assert!(!again.headers.contains_key("set-cookie"));
        let (url, _) = depart(&service, "").await;
        let answer = provider.visit(&url, "sub-1", EMAIL).unwrap();
        let (_, other) = depart(&service, "").await;
        assert_eq!(back(&service, &other, &answer).await.status, 401);
        for elsewhere in ["//evil.example", "https://evil.example", "/%5Cevil.example"] {
            let path = format!("/v1/sign-in/oidc/acme?return_to={elsewhere}");
            let answer = http::get(&service.http, &path).await;
            assert_eq!(
                (answer.status, answer.json()["field"].as_str()),
                (400, Some("return_to"))
            );
        }
        provider.script([Wrong::Nonce]);
        let (url, cookie) = depart(&service, "").await;
        let answer = provider.visit(&url, "sub-1", EMAIL).unwrap();
        assert_eq!(back(&service, &cookie, &answer).await.status, 401);
        place.run(&["oidc", "remove", "acme"]);
        let gone = http::get(&service.http, "/v1/sign-in/oidc/acme").await;
        assert_eq!(gone.json()["code"], "provider_not_found");
        service.stop();
    });
}
