use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A stream of uniform numbers from 0 to 1: the same for the same seed, on every machine.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let unit = (z >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    /// As durations are: many short, a long tail.
    fn duration(&mut self, scale: f64) -> f64 {
        let tail = -(1.0 - self.next()).ln();
        scale * (0.5 + tail)
    }

    fn version(&mut self, invocations: u64, error_share: f64, scale: f64) -> Version {
        let errors = (0..invocations).filter(|_| self.next() < error_share).count();
        Version {
            invocations,
            errors: count(errors),
            durations_ms: (0..invocations).map(|_| self.duration(scale)).collect(),
            ..Version::default()
        }
    }
}

/// Of `rounds` pairs, how many come to a verdict.
fn share_of(
    verdict: Verdict,
    rounds: u64,
    rules: &Canary,
    mut pair: impl FnMut(&mut Draws) -> (Version, Version),
) -> f64 {
    let found = (0..rounds)
        .filter(|seed| {
            let (new, old) = pair(&mut Draws(seed * 7919));
            canary(&new, Some(&old), rules).verdict == verdict
        })
        .count();
    percent(count(found), rounds)
}

fn strict() -> Canary {
    Canary {
        alpha: 0.05,
        // Without a minimum effect, so that the tests alone decide.
        min_error_increase_percent: 0.0,
        min_slowdown_percent: 0.0,
        min_slowdown_ms: 0.0,
        ..Canary::default()
    }
}

#[test]
fn versions_that_do_not_differ_fail_no_more_often_than_alpha() {
    for (new, old) in [(60, 600), (200, 200), (30, 2000)] {
        let failed = share_of(Verdict::Failed, 200, &strict(), |draws| {
            (draws.version(new, 0.02, 40.0), draws.version(old, 0.02, 40.0))
        });
        // Fisher's test is conservative; 200 draws may be off by a little.
        assert!(
            failed <= 7.0,
            "{failed} % of identical pairs ({new} and {old}) failed"
        );
    }
}

#[test]
fn a_version_with_more_errors_is_found() {
    let failed = share_of(Verdict::Failed, 100, &Canary::default(), |draws| {
        (draws.version(100, 0.15, 40.0), draws.version(900, 0.01, 40.0))
    });
    assert!(failed >= 95.0, "{failed} %");
}

#[test]
fn a_version_that_is_slower_is_found_with_its_errors_the_same() {
    let failed = share_of(Verdict::Failed, 100, &Canary::default(), |draws| {
        (draws.version(60, 0.0, 400.0), draws.version(540, 0.0, 100.0))
    });
    assert!(failed >= 95.0, "{failed} %");
}

#[test]
fn a_version_whose_tail_alone_is_slower_is_found() {
    let failed = share_of(Verdict::Failed, 100, &Canary::default(), |draws| {
        let mut new = draws.version(200, 0.0, 40.0);
        for at in 0..new.durations_ms.len() {
            if at % 8 == 0 {
                new.durations_ms[at] += 2000.0;
            }
        }
        (new, draws.version(1800, 0.0, 40.0))
    });
    assert!(failed >= 95.0, "{failed} %");
}

#[test]
fn a_difference_that_does_not_matter_passes_however_certain_it_is() {
    let passed = share_of(Verdict::Passed, 50, &Canary::default(), |draws| {
        // Twice as slow, and less than 100 ms of it.
        (draws.version(2000, 0.0, 30.0), draws.version(2000, 0.0, 15.0))
    });
    assert!((passed - 100.0).abs() < f64::EPSILON, "{passed} %");
}

#[test]
fn no_data_and_too_little_are_inconclusive_and_say_the_numbers() {
    let mut draws = Draws(1);
    let rules = Canary::default();
    let (full, few) = (draws.version(500, 0.0, 10.0), draws.version(19, 1.0, 10.0));
    let empty = Version::default();
    for (new, old) in [
        (&empty, Some(&full)),
        (&few, Some(&full)),
        (&full, Some(&few)),
        (&empty, Some(&empty)),
        (&full, None),
    ] {
        let finding = canary(new, old, &rules);
        assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
    }
    let evidence = canary(&few, Some(&full), &rules).evidence;
    assert!(
        evidence.contains("19 invocations of the new") && evidence.contains("at least 20"),
        "{evidence}"
    );
    // Invocations without a single duration: their logs were not there.
    let silent = Version {
        durations_ms: Vec::new(),
        ..full.clone()
    };
    assert_eq!(
        canary(&silent, Some(&full), &rules).verdict,
        Verdict::Inconclusive
    );
    // But errors that are plain to see need no durations.
    let broken = Version {
        errors: 400,
        ..silent
    };
    assert_eq!(canary(&broken, Some(&full), &rules).verdict, Verdict::Failed);
}

#[test]
fn throttles_of_the_new_version_alone_fail() {
    let mut draws = Draws(2);
    let old = draws.version(500, 0.0, 10.0);
    let new = Version {
        throttles: 40,
        ..draws.version(100, 0.0, 10.0)
    };
    let finding = canary(&new, Some(&old), &Canary::default());
    assert!(
        finding.verdict == Verdict::Failed && finding.evidence.contains("throttles"),
        "{finding:?}"
    );
}

#[test]
fn a_percentile_that_no_slowdown_could_show_is_left_out_and_said_to_be() {
    let rules = strict();
    let of = |invocations: u64, seed| Draws(seed).version(invocations, 0.0, 10.0);
    // p99 of 100 durations each is their two largest: whichever version they are of, that may be chance.
    let finding = canary(&of(100, 5), Some(&of(100, 6)), &rules);
    assert_eq!(finding.verdict, Verdict::Passed, "{finding:?}");
    assert!(
        finding.evidence.contains("not compared: p99 (too few values") && !finding.evidence.contains("p99 1"),
        "{finding:?}"
    );
    // With a canary's tenth of the traffic the same number of durations is enough.
    let finding = canary(&of(100, 5), Some(&of(900, 6)), &rules);
    assert!(!finding.evidence.contains("not compared"), "{finding:?}");
    // Fewer durations than the percentile has parts are said to be so too.
    let finding = canary(&of(30, 5), Some(&of(900, 6)), &rules);
    assert!(
        finding
            .evidence
            .contains("not compared: p99 (fewer than 100 durations"),
        "{finding:?}"
    );
}

#[test]
fn what_cannot_be_compared_takes_nothing_from_what_can() {
    let rules = strict();
    let with = |invocations, errors| Version {
        invocations,
        errors,
        durations_ms: vec![1.0; 100],
        ..Version::default()
    };
    // p99 of 100 durations each can tell nothing. Four comparisons are left (errors, throttles, p50, p95), and this
    // one's p is between a fifth and a quarter of alpha.
    let p = greater_share((14, 100), (4, 100));
    assert!(p > rules.alpha / 5.0 && p < rules.alpha / 4.0, "{p}");
    let finding = canary(&with(100, 14), Some(&with(100, 4)), &rules);
    assert_eq!(finding.verdict, Verdict::Failed, "{finding:?}");
}

#[test]
fn what_can_tell_nothing_at_all_is_inconclusive() {
    let rules = Canary {
        alpha: 0.000_001,
        min_samples: 5,
        ..Canary::default()
    };
    let five = |ms: f64, errors| Version {
        invocations: 5,
        errors,
        durations_ms: vec![ms; 5],
        ..Version::default()
    };
    for new in [five(1.0, 0), five(9000.0, 5)] {
        let finding = canary(&new, Some(&five(1.0, 0)), &rules);
        assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
        assert!(
            finding.evidence.contains("nothing could be compared"),
            "{finding:?}"
        );
    }
}

fn metric(kind: CustomKind, worse: Worse) -> Canary {
    Canary {
        custom_metrics: vec![CustomMetric {
            namespace: "Shop".to_owned(),
            name: "Orders".to_owned(),
            dimensions: BTreeMap::new(),
            kind,
            worse,
            min_change_percent: 10.0,
        }],
        ..Canary::default()
    }
}

#[test]
fn a_metric_of_the_applications_own_counts_in_its_bad_direction() {
    let with = |custom: &[f64]| Version {
        custom: vec![custom.to_vec()],
        ..Draws(3).version(200, 0.0, 10.0)
    };
    let verdict = |new: &[f64], old: &[f64], kind, worse| {
        canary(&with(new), Some(&with(old)), &metric(kind, worse)).verdict
    };
    let (count, value) = (CustomKind::Count, CustomKind::Value);
    assert_eq!(
        verdict(&[30.0, 30.0], &[5.0], count, Worse::Higher),
        Verdict::Failed
    );
    assert_eq!(verdict(&[5.0], &[60.0], count, Worse::Higher), Verdict::Passed);
    assert_eq!(verdict(&[5.0], &[60.0], count, Worse::Lower), Verdict::Failed);
    let (low, high) = ([1.0; 12], [9.0; 12]);
    assert_eq!(verdict(&high, &low, value, Worse::Higher), Verdict::Failed);
    assert_eq!(verdict(&high, &low, value, Worse::Lower), Verdict::Passed);
    assert_eq!(verdict(&low, &high, value, Worse::Lower), Verdict::Failed);
    // A value a minute: in five minutes the test could not fail whatever happened, and so it does not pass.
    assert_eq!(
        verdict(&high[..5], &low[..5], value, Worse::Higher),
        Verdict::Inconclusive
    );
    for (new, old) in [(&[][..], &low[..]), (&low, &[]), (&[f64::NAN], &low)] {
        assert_eq!(verdict(new, old, value, Worse::Higher), Verdict::Inconclusive);
    }
}

fn any_version() -> impl Strategy<Value = Version> {
    let numbers = || proptest::collection::vec(any::<f64>(), 0..40);
    (
        0..5000_u64,
        0..5000_u64,
        0..1000_u64,
        numbers(),
        proptest::collection::vec(numbers(), 0..2),
    )
        .prop_map(|(invocations, errors, throttles, durations_ms, custom)| Version {
            invocations,
            errors,
            throttles,
            durations_ms,
            custom,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn total_on_any_input(new in any_version(), old in any_version(), higher in any::<bool>(), counts in any::<bool>()) {
        let worse = if higher { Worse::Higher } else { Worse::Lower };
        let kind = if counts { CustomKind::Count } else { CustomKind::Value };
        let finding = canary(&new, Some(&old), &metric(kind, worse));
        prop_assert!(!finding.evidence.is_empty());
        prop_assert!(finding.measurements.iter().all(|one| one.value.is_none_or(f64::is_finite)));
    }
}

#[test]
fn durations_are_compared_over_the_time_that_both_samples_cover() {
    let sample = |from: i64, to: i64, is_cut| Durations {
        lines: (from..to).map(|at| (at, 1.0)).collect(),
        is_cut,
    };
    let counts = |new: Durations, old: Durations| {
        let (new, old) = of_one_window(&new, &old);
        (new.len(), old.len())
    };
    // The old one has so much traffic that its sample ends early.
    assert_eq!(counts(sample(10, 300, false), sample(10, 60, true)), (50, 50));
    assert_eq!(counts(sample(10, 40, true), sample(10, 60, true)), (30, 30));
    // All of both.
    assert_eq!(counts(sample(10, 300, false), sample(10, 60, false)), (290, 50));
}
