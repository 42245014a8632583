//! Pairs that exclude each other, decided together. Rows are transactions, columns vehicles; a row may stay without a column
//! for the score `nobody`. Scores are natural logarithms; minus infinity is impossible.

/// The column of each row in the assignment with the greatest sum; `None`: nobody. Kuhn's method with potentials and
/// shortest augmenting paths (Jonker and Volgenant), O(rows² · columns).
#[allow(
    clippy::needless_range_loop,
    reason = "rows and columns are numbers in several lists at once"
)]
pub(super) fn best(scores: &[Vec<f64>], nobody: f64) -> Vec<Option<usize>> {
    let (rows, vehicles) = (scores.len(), scores.first().map_or(0, Vec::len));
    // Each row has a column of its own for nobody.
    let columns = vehicles + rows;
    let cost = |row: usize, column: usize| match column.checked_sub(vehicles) {
        None => -scores[row][column].max(-1e6),
        Some(own) if own == row => -nobody,
        Some(_) => 1e6,
    };
    let mut of_row = vec![0.0; rows + 1];
    let mut of_column = vec![0.0; columns + 1];
    // Rows and columns from 1; 0 is none.
    let mut taken = vec![0; columns + 1];
    let mut way = vec![0; columns + 1];
    for row in 1..=rows {
        taken[0] = row;
        let mut at = 0;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut seen = vec![false; columns + 1];
        loop {
            seen[at] = true;
            let current = taken[at];
            let (mut step, mut next) = (f64::INFINITY, 0);
            for column in 1..=columns {
                if seen[column] {
                    continue;
                }
                let reduced = cost(current - 1, column - 1) - of_row[current] - of_column[column];
                if reduced < least[column] {
                    (least[column], way[column]) = (reduced, at);
                }
                if least[column] < step {
                    (step, next) = (least[column], column);
                }
            }
            for column in 0..=columns {
                if seen[column] {
                    of_row[taken[column]] += step;
                    of_column[column] -= step;
                } else {
                    least[column] -= step;
                }
            }
            at = next;
            if taken[at] == 0 {
                break;
            }
        }
        while at != 0 {
            let before = way[at];
            taken[at] = taken[before];
            at = before;
        }
    }
    let mut chosen = vec![None; rows];
    for column in 1..=vehicles {
        let row = taken[column];
        if row > 0 && scores[row - 1][column - 1].is_finite() {
            chosen[row - 1] = Some(column - 1);
        }
    }
    chosen
}

/// How much of all likelihood each pair has: rows sum up to 1 with nobody, the last of each row. Sums over all assignments
/// cannot be had; belief propagation comes close to them, and exactly so where pairs form no rings (M. Huang and T. Jebara,
/// "Approximating the permanent with belief propagation", 2009). `heard[row][column]`: how free the column is for this row, by
/// the word of the others.
pub(super) fn shares(scores: &[Vec<f64>], nobody: f64) -> Vec<Vec<f64>> {
    const ROUNDS: usize = 50;
    let vehicles = scores.first().map_or(0, Vec::len);
    let odds =
        |row: &Vec<f64>| -> Vec<f64> { row.iter().map(|score| (score - nobody).exp()).collect() };
    let odds: Vec<Vec<f64>> = scores.iter().map(odds).collect();
    let mut heard = vec![vec![1.0; vehicles]; scores.len()];
    for _ in 0..ROUNDS {
        // How much each row wants a column, against all else that it could have.
        let mut wants = heard.clone();
        let mut sums = vec![0.0; vehicles];
        for ((want, odds), heard) in wants.iter_mut().zip(&odds).zip(&heard) {
            let all: f64 = 1.0
                + odds
                    .iter()
                    .zip(heard)
                    .map(|(odds, free)| odds * free)
                    .sum::<f64>();
            for (column, want) in want.iter_mut().enumerate() {
                let others = (all - odds[column] * heard[column]).max(1.0);
                *want = odds[column] / others;
                sums[column] += *want;
            }
        }
        for (free, want) in heard.iter_mut().zip(&wants) {
            for (column, free) in free.iter_mut().enumerate() {
                let now = 1.0 / (1.0 + (sums[column] - want[column]).max(0.0));
                // Halfway: what swings comes to rest.
                *free = (*free * now).sqrt();
            }
        }
    }
    let share = |(odds, heard): (&Vec<f64>, &Vec<f64>)| {
        let mut row: Vec<f64> = odds
            .iter()
            .zip(heard)
            .map(|(odds, free)| odds * free)
            .collect();
        row.push(1.0);
        let sum: f64 = row.iter().sum();
        row.iter().map(|share| share / sum).collect()
    };
    odds.iter().zip(&heard).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All assignments, one after the other: the best, and the share of each pair.
    fn every(scores: &[Vec<f64>], nobody: f64) -> (f64, Vec<Vec<f64>>, f64) {
        let vehicles = scores[0].len();
        let mut shares = vec![vec![0.0; vehicles + 1]; scores.len()];
        let (mut best, mut total) = (f64::NEG_INFINITY, 0.0);
        let count = (vehicles + 1).pow(u32::try_from(scores.len()).unwrap());
        'each: for number in 0..count {
            let mut rest = number;
            let mut chosen = Vec::new();
            for _ in scores {
                let column = rest % (vehicles + 1);
                if column < vehicles && chosen.contains(&column) {
                    continue 'each;
                }
                chosen.push(column);
                rest /= vehicles + 1;
            }
            let of = |(row, column): (usize, &usize)| scores[row].get(*column).copied();
            let pairs = chosen.iter().enumerate();
            let sum: f64 = pairs.map(|pair| of(pair).unwrap_or(nobody)).sum();
            best = best.max(sum);
            total += sum.exp();
            for (row, column) in chosen.iter().enumerate() {
                shares[row][*column] += sum.exp();
            }
        }
        (best, shares, total)
    }

    #[test]
    fn as_all_assignments_say() {
        use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (rows, columns) = (random.random_range(1..5), random.random_range(1..5));
            let mut row = || {
                (0..columns)
                    .map(|_| random.random_range(-9.0..4.0))
                    .collect()
            };
            let scores: Vec<Vec<f64>> = (0..rows).map(|_| row()).collect();
            let nobody = -3.0;
            let (greatest, exact, total) = every(&scores, nobody);
            let chosen = best(&scores, nobody);
            let sum: f64 = chosen
                .iter()
                .enumerate()
                .map(|(row, column)| column.map_or(nobody, |column| scores[row][column]))
                .sum();
            assert!(
                (sum - greatest).abs() < 1e-9,
                "seed {seed}: {sum} {greatest}"
            );
            for (row, shares) in shares(&scores, nobody).iter().enumerate() {
                for (column, share) in shares.iter().enumerate() {
                    let exact = exact[row][column] / total;
                    // What is nearly certain here is nearly certain there.
                    assert!((share - exact).abs() < 0.2, "seed {seed}: {share} {exact}");
                    assert!(
                        *share < 0.999 || exact > 0.99,
                        "seed {seed}: {share} {exact}"
                    );
                }
            }
        }
    }
}
