use proptest::prelude::*;

use super::*;
use crate::truth::Record;

fn truth(columns: &[(&str, &[i64])]) -> Truth {
    let column = |(signal, given): &(&str, &[i64])| ColumnTruth {
        id: id(signal),
        step: "0.1".parse().unwrap(),
        given: given.iter().map(|raw| record(*raw, None)).collect(),
        withheld: Vec::new(),
    };
    Truth {
        columns: columns.iter().map(column).collect(),
        torn: false,
    }
}

fn record(raw: i64, withheld: Option<&str>) -> Record {
    Record {
        raw,
        wall_us: 0,
        simulated_ms: 0,
        withheld: withheld.map(str::to_owned),
    }
}

fn id(signal: &str) -> ColumnId {
    ColumnId::new("car-01", "can", signal)
}

fn stored(columns: &[(&str, &[i64])]) -> Stored {
    let column = |(signal, raws): &(&str, &[i64])| (id(signal), raws.to_vec());
    columns.iter().map(column).collect()
}

/// produced, stored, lost, duplicated, wrong, unread
fn counts(given: &[i64], kept: &[i64]) -> [u64; 6] {
    let report = compare(&truth(&[("a", given)]), &stored(&[("a", kept)]));
    let ColumnReport {
        produced,
        stored,
        lost,
        duplicated,
        wrong,
        unread,
    } = report.total;
    [produced, stored, lost, duplicated, wrong, unread]
}

#[test]
fn each_kind_of_difference_is_told() {
    assert_eq!(counts(&[1, 2, 3], &[1, 2, 3]), [3, 3, 0, 0, 0, 0]);
    assert_eq!(counts(&[1, 2, 3], &[1, 3]), [3, 2, 1, 0, 0, 0]);
    assert_eq!(counts(&[1, 2, 3], &[1, 2, 2, 3]), [3, 4, 0, 1, 0, 0]);
    assert_eq!(counts(&[1, 2, 3], &[1, 9, 2, 3]), [3, 4, 0, 0, 1, 0]);
    assert_eq!(counts(&[1, 2, 3], &[1, 9, 3]), [3, 3, 1, 0, 1, 0]);
    // In the wrong order: lost where it belongs, wrong where it is.
    assert_eq!(counts(&[1, 2, 3], &[2, 3, 1]), [3, 3, 1, 0, 1, 0]);
    // A block delivered twice.
    assert_eq!(
        counts(&[1, 2, 3, 4], &[1, 2, 3, 2, 3, 4]),
        [4, 6, 0, 2, 0, 0]
    );
    assert_eq!(counts(&[5, 5, 5], &[5, 5]), [3, 2, 1, 0, 0, 0]);
    assert_eq!(counts(&[], &[7]), [0, 1, 0, 0, 1, 0]);
    assert_eq!(counts(&[1, 2], &[]), [2, 0, 0, 0, 0, 2]);
}

#[test]
fn a_long_column_with_many_holes_is_in_order() {
    // A search for the fewest differences takes minutes here.
    let given: Vec<i64> = (0..400_000).map(|i| i / 7 % 10).collect();
    let kept = given.iter().enumerate().filter(|(i, _)| i % 900 > 300);
    let kept: Vec<i64> = kept.map(|(_, raw)| *raw).collect();
    let lost = (given.len() - kept.len()) as u64;
    let expected = [given.len() as u64, kept.len() as u64, lost, 0, 0, 0];
    assert_eq!(counts(&given, &kept), expected);
}

#[test]
fn what_is_wrong_is_told_before_what_is_missing() {
    let given: Vec<i64> = (0..100).collect();
    let mut kept: Vec<i64> = (0..100).filter(|i| i % 3 != 1).collect();
    kept.insert(60, 777);
    let report = compare(&truth(&[("a", &given)]), &stored(&[("a", &kept)]));
    assert_eq!(report.findings.len(), FINDINGS);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.stored == [777])
    );
}

#[test]
fn judgements() {
    let given = truth(&[("a", &[1, 2, 3]), ("b", &[4])]);
    let exact = compare(&given, &stored(&[("a", &[1, 2, 3]), ("b", &[4])]));
    assert!(exact.is_exact() && exact.is_subsequence() && exact.findings.is_empty());
    let killed = compare(&given, &stored(&[("a", &[1, 3])]));
    assert!(!killed.is_exact() && killed.is_subsequence());
    assert_eq!((killed.total.lost, killed.total.unread), (1, 1));
    let twice = compare(&given, &stored(&[("a", &[1, 1, 2, 3]), ("b", &[4])]));
    assert!(!twice.is_subsequence());
    let nobodys = compare(
        &given,
        &stored(&[("a", &[1, 2, 3]), ("b", &[4]), ("c", &[0])]),
    );
    assert_eq!(nobodys.total.wrong, 1);
    assert!(!nobodys.is_subsequence());
}

#[test]
fn a_value_that_was_withheld_is_named() {
    let mut given = truth(&[("a", &[1, 2, 3])]);
    given.columns[0].withheld.push(record(77, Some("late")));
    let report = compare(&given, &stored(&[("a", &[1, 77, 3])]));
    assert_eq!(
        report.to_string(),
        "3 produced, 3 stored, 1 lost, 0 duplicated, 1 wrong, 0 unread\n  \
         car-01 can a #1: given [2], stored [77] (withheld: late)"
    );
}

/// Keeps the elements whose place is not chosen.
fn without(given: &[i64], chosen: &[prop::sample::Index]) -> (Vec<i64>, u64) {
    let places: HashSet<usize> = chosen.iter().map(|i| i.index(given.len())).collect();
    let kept = given
        .iter()
        .enumerate()
        .filter(|(i, _)| !places.contains(i));
    (kept.map(|(_, raw)| *raw).collect(), places.len() as u64)
}

proptest! {
    #[test]
    fn what_is_taken_out_is_lost(given in prop::collection::vec(0i64..6, 2..200), chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..30)) {
        let (kept, lost) = without(&given, &chosen);
        prop_assume!(!kept.is_empty());
        prop_assert_eq!(counts(&given, &kept), [given.len() as u64, kept.len() as u64, lost, 0, 0, 0]);
    }

    #[test]
    fn what_is_put_in_twice_is_duplicated(given in prop::collection::vec(0i64..6, 1..200), chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..30)) {
        let mut kept = given.clone();
        for place in &chosen {
            let place = place.index(kept.len());
            kept.insert(place, kept[place]);
        }
        let extra = chosen.len() as u64;
        prop_assert_eq!(counts(&given, &kept), [given.len() as u64, kept.len() as u64, 0, extra, 0, 0]);
    }

    #[test]
    fn what_is_invented_is_wrong(given in prop::collection::vec(0i64..6, 1..200), inventions in prop::collection::vec((any::<prop::sample::Index>(), 100i64..200), 0..30)) {
        let mut kept = given.clone();
        for (place, raw) in &inventions {
            kept.insert(place.index(kept.len() + 1), *raw);
        }
        let wrong = inventions.len() as u64;
        prop_assert_eq!(counts(&given, &kept), [given.len() as u64, kept.len() as u64, 0, 0, wrong, 0]);
    }

    #[test]
    fn no_difference_is_overlooked(given in prop::collection::vec(0i64..4, 0..40), kept in prop::collection::vec(0i64..4, 1..40)) {
        let [produced, stored, lost, duplicated, wrong, unread] = counts(&given, &kept);
        prop_assert_eq!(unread, 0);
        // Each stored value is an aligned one, a duplicate or a wrong one; each given one is aligned or lost.
        prop_assert_eq!(produced - lost, stored - duplicated - wrong);
        prop_assert_eq!(given == kept, lost + duplicated + wrong == 0);
    }
}
