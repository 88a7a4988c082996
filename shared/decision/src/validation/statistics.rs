//! The one statistical test of the canary analysis, and its correction for being made several times.
//!
//! Everything is a question of proportions. *Errors*: is the share of failed invocations greater? *A duration
//! percentile*: the pooled samples of both versions have a percentile; is the share of samples above it
//! greater? (This is the quantile test, of which Mood's median test is the case of 50 %.) Either way the
//! answer is Fisher's exact test on a table of two by two, one-sided, from `statrs`: exact for any sample
//! size, without an assumption about the distribution of durations, and indifferent to ties.
//!
//! A difference of means, or a rank test such as Mann and Whitney's, would say less about the tail, which is
//! what users complain about.

use statrs::stats_tests::Alternative;
use statrs::stats_tests::fisher::fishers_exact;

/// The chance that proportions as unequal as these, or more so, come about although nothing differs:
/// whether `new` has the greater share. 1 where there is nothing to tell them apart by.
///
/// Each is (hits, trials); more hits than trials count as all of them.
#[must_use]
pub fn greater_share(new: (u64, u64), old: (u64, u64)) -> f64 {
    let (new_hits, old_hits) = (new.0.min(new.1), old.0.min(old.1));
    if new.1 == 0 || old.1 == 0 || new_hits + old_hits == 0 {
        return 1.0;
    }
    // "The old version has fewer hits" is the same tail as "the new one has more", and as the sum runs over the
    // hits of the first row, it is short where errors are rare.
    let table = [old_hits, old.1 - old_hits, new_hits, new.1 - new_hits];
    match fishers_exact(&table, Alternative::Less) {
        Ok(p) if p.is_finite() => p.clamp(0.0, 1.0),
        // Beyond what the distribution can be computed for: no proof of anything.
        _ => 1.0,
    }
}

/// Two samples at one percentile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// The new version's.
    pub new: f64,
    /// The old version's.
    pub old: f64,
    /// The chance that the new sample has so many of the greatest values although nothing differs.
    pub p: f64,
}

/// Compares two samples at a percentile (1 to 99). `None` where one has no finite value.
#[must_use]
pub fn quantiles(new: &[f64], old: &[f64], percent: u8) -> Option<Quantiles> {
    let (new, old) = (sorted(new), sorted(old));
    let pooled = sorted(&[new.as_slice(), old.as_slice()].concat());
    let bound = percentile(&pooled, percent)?;
    let above = |sample: &[f64]| count(sample.iter().filter(|value| **value > bound).count());
    let share = |sample: &[f64]| (above(sample), count(sample.len()));
    Some(Quantiles {
        new: percentile(&new, percent)?,
        old: percentile(&old, percent)?,
        p: greater_share(share(&new), share(&old)),
    })
}

/// The least `p` that [`greater_share`] comes to with so many trials, whatever the hits: every one of the new version
/// is a hit, and none of the old one.
#[must_use]
pub fn least_of_shares(new: u64, old: u64) -> f64 {
    greater_share((new, new), (0, old))
}

/// The least `p` that [`quantiles`] comes to with samples of these sizes, whatever the values: all that is above the
/// pooled percentile is the new version's. More values above it than the new version has are the old one's as well;
/// with ties on the percentile they are not above it.
#[must_use]
pub fn least_of_quantiles(new: usize, old: usize, percent: u8) -> f64 {
    let above = (new + old) - rank(new + old, percent).min(new + old);
    greater_share((count(above.min(new)), count(new)), (0, count(old)))
}

/// Which of the tests can reject, by the least `p` that each can come to: those that would do so together with the
/// others *and* by themselves, whatever the others come to. Only these are to be made: a test that says "no worse"
/// in any case says nothing, and in [`holm`] it would take from those that do.
///
/// It goes by the sizes of the samples alone, not by their values, so that [`holm`] over the rest still holds.
#[must_use]
pub fn able(least: &[f64], alpha: f64) -> Vec<bool> {
    let mut able = vec![true; least.len()];
    let least = |index: usize| least.get(index).copied().filter(|p| !p.is_nan()).unwrap_or(1.0);
    let mut order: Vec<usize> = (0..able.len()).collect();
    order.sort_by(|a, b| least(*a).total_cmp(&least(*b)));
    while let Some(greatest) = order.last().copied() {
        #[expect(clippy::cast_precision_loss, reason = "a handful of tests")]
        let tests = order.len() as f64;
        if least(greatest) <= alpha / tests {
            break;
        }
        if let Some(slot) = able.get_mut(greatest) {
            *slot = false;
        }
        order.pop();
    }
    able
}

/// The finite values in ascending order.
#[must_use]
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    finite
}

/// The nearest-rank percentile of sorted values; `None` of none.
#[must_use]
pub fn percentile(sorted: &[f64], percent: u8) -> Option<f64> {
    sorted.get(rank(sorted.len(), percent) - 1).copied()
}

/// The nearest rank of a percentile, from 1.
fn rank(count: usize, percent: u8) -> usize {
    (count * usize::from(percent)).div_ceil(100).max(1)
}

/// Which of the tests reject at `alpha` together (Holm's step-down): the chance that *any* of them rejects
/// although nothing differs stays below `alpha`, however many there are and however they depend on each
/// other.
#[must_use]
pub fn holm(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    let at = |index: usize| {
        p_values
            .get(index)
            .copied()
            .filter(|p| !p.is_nan())
            .unwrap_or(1.0)
    };
    order.sort_by(|a, b| at(*a).total_cmp(&at(*b)));
    let mut rejected = vec![false; p_values.len()];
    for (step, index) in order.into_iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a handful of tests")]
        let left = (p_values.len() - step) as f64;
        if at(index) > alpha / left {
            break;
        }
        if let Some(slot) = rejected.get_mut(index) {
            *slot = true;
        }
    }
    rejected
}

pub(super) fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    };
    share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_share_is_compared_as_scipy_does() {
        // scipy.stats.fisher_exact([[8, 92], [1, 99]], alternative="greater")
        assert!((greater_share((8, 100), (1, 100)) - 0.017_489).abs() < 1e-4);
        assert!(greater_share((50, 100), (0, 900)) < 1e-9);
        assert!(greater_share((1, 100), (8, 100)) > 0.9);
    }

    #[test]
    fn nothing_to_compare_proves_nothing() {
        for (new, old) in [
            ((0, 0), (0, 0)),
            ((0, 100), (0, 100)),
            ((5, 5), (0, 0)),
            ((9, 3), (9, 3)),
        ] {
            assert!((greater_share(new, old) - 1.0).abs() < 1e-9, "{new:?} {old:?}");
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            [50, 95, 99].map(|p| percentile(&values, p)),
            [Some(100.0), Some(190.0), Some(198.0)]
        );
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn holm_stops_at_the_first_that_does_not_reject() {
        assert_eq!(holm(&[0.04, 0.001, 0.02], 0.05), [true, true, true]);
        assert_eq!(holm(&[0.04, 0.001, 0.03], 0.05), [false, true, false]);
        assert_eq!(holm(&[f64::NAN, 0.02], 0.05), [false, true]);
        assert_eq!(holm(&[], 0.05), Vec::<bool>::new());
    }

    #[test]
    fn the_least_p_is_that_of_samples_as_different_as_can_be() {
        // scipy.special.comb: 1 / C(40, 20), C(20, 2) / C(40, 2), and no value above the largest.
        assert!((least_of_quantiles(20, 20, 50) - 7.254_445e-12).abs() < 1e-17);
        assert!((least_of_quantiles(20, 20, 95) - 0.243_590).abs() < 1e-6);
        assert!((least_of_quantiles(20, 20, 99) - 1.0).abs() < 1e-9);
        assert!((least_of_shares(3, 3) - 0.05).abs() < 1e-9);
        assert!((least_of_shares(0, 3) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_can_reject_by_itself_is_kept_and_what_is_left_out_does_not_count() {
        assert_eq!(able(&[0.0, 0.25, 1.0], 0.01), [true, false, false]);
        // Above a half of alpha, and the only one once the other is out.
        assert_eq!(able(&[0.008, 0.25], 0.01), [true, false]);
        assert_eq!(able(&[0.0, 0.008], 0.01), [true, false]);
        assert_eq!(able(&[0.0, 0.005], 0.01), [true, true]);
        assert_eq!(able(&[f64::NAN, 0.0], 0.01), [false, true]);
        assert_eq!(able(&[0.0], f64::NAN), [false]);
        assert_eq!(able(&[], 0.01), Vec::<bool>::new());
    }

    #[test]
    fn a_tail_that_is_worse_is_found_where_the_median_is_the_same() {
        let old: Vec<f64> = (0..400).map(|n| 20.0 + f64::from(n % 20)).collect();
        let new: Vec<f64> = old
            .iter()
            .enumerate()
            .map(|(at, ms)| {
                if *ms >= 30.0 && at % 4 == 0 {
                    ms + 900.0
                } else {
                    *ms
                }
            })
            .collect();
        assert!(quantiles(&new, &old, 50).unwrap().p > 0.05);
        assert!(quantiles(&new, &old, 95).unwrap().p < 1e-6);
    }

    proptest! {
        #[test]
        fn total_on_any_input(
            new in proptest::collection::vec(any::<f64>(), 0..60),
            old in proptest::collection::vec(any::<f64>(), 0..60),
            percent in 1_u8..100, a in 0..500_u64, b in 0..500_u64, c in 0..500_u64, d in 0..500_u64,
        ) {
            if let Some(found) = quantiles(&new, &old, percent) {
                prop_assert!((0.0..=1.0).contains(&found.p));
            }
            prop_assert!((0.0..=1.0).contains(&greater_share((a, b), (c, d))));
        }

        #[test]
        fn no_samples_come_below_the_least_p_of_their_size(
            new in proptest::collection::vec(0..6_u8, 1..40),
            old in proptest::collection::vec(0..6_u8, 1..40),
            percent in 1_u8..100, a in 0..40_u64, b in 0..40_u64,
        ) {
            let floats = |values: &[u8]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
            let found = quantiles(&floats(&new), &floats(&old), percent).unwrap();
            prop_assert!(found.p >= least_of_quantiles(new.len(), old.len(), percent) * (1.0 - 1e-6));
            let (trials, of_old) = (count(new.len()), count(old.len()));
            let p = greater_share((a, trials), (b, of_old));
            prop_assert!(p >= least_of_shares(trials, of_old) * (1.0 - 1e-6));
        }

        #[test]
        fn more_hits_are_never_less_suspicious(hits in 0..99_u64, old in 0..100_u64) {
            prop_assert!(greater_share((hits + 1, 100), (old, 100)) <= greater_share((hits, 100), (old, 100)) + 1e-9);
        }
    }
}
