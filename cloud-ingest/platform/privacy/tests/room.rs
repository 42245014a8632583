//! The room by itself: its tables and statements, and how names are found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use platform::{
    migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use privacy::mention::pattern;

#[test]
fn tables_have_comments_and_statements_fit_them() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        migrate(&db, &[platform::room(), audit::room(), privacy::room()])
            .await
            .unwrap();
        assert_commented(&db, "privacy").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(&db, &queries).await >= 9);
    });
}

#[test]
fn somebody_is_found_in_texts_and_nobody_else_is() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        let client = db.owner().await.unwrap();
        let known: Vec<String> = ["ana@example.com", "Ana María Pérez", "+52 55 1234 5678"]
            .map(str::to_owned)
            .to_vec();
        let plain = pattern(&known, false).unwrap();
        let json = pattern(&known, true).unwrap();
        for (text, found) in [
            ("write to ANA@EXAMPLE.COM.", true),
            ("<ana@example.com>", true),
            ("/v1/files?to=ana%40example.com", true),
            ("mariana@example.com", false),
            ("ana@example.community", false),
            ("ana@example-com", false),
            ("Van of Ana María Pérez", true),
            ("licencia%20de%20ana%20mar%C3%ADa%20p%C3%A9rez.jpg", true),
            ("Ana  María\nPérez", true),
            ("Mariana María Pérez", false),
            ("Ana María Pérezgrovas", false),
            ("Ana", false),
            ("5512345678", true),
            ("+525512345678", true),
            ("tel. (55) 1234-5678", true),
            ("52 55 1234 5678", true),
            ("order 955123456781", false),
            ("5512345679", false),
        ] {
            let row = client
                .query_one("SELECT $1::text ~* $2", &[&text, &plain])
                .await
                .unwrap();
            assert_eq!(row.get::<_, bool>(0), found, "{text}");
        }
        for (text, found) in [
            (r#"{"text": "Hi\nAna María Pérez"}"#, true),
            (r#"{"to":"ana@example.com"}"#, true),
            (r#"{"to":"mariana@example.com"}"#, false),
        ] {
            let row = client
                .query_one("SELECT $1::text ~* $2", &[&text, &json])
                .await
                .unwrap();
            assert_eq!(row.get::<_, bool>(0), found, "{text}");
        }
        // Signs that mean something in a pattern mean themselves.
        let odd = pattern(&[r#"A.*b (c|d) "e" \f"#.to_owned()], false).unwrap();
        for (text, found) in [(r#"A.*b (c|d) "e" \f"#, true), (r#"Axxb c "e" \f"#, false)] {
            let row = client
                .query_one("SELECT $1::text ~* $2", &[&text, &odd])
                .await
                .unwrap();
            assert_eq!(row.get::<_, bool>(0), found, "{text}");
        }
    });
}
