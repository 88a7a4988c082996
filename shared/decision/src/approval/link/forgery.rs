//! A million forged or altered links, each made by one of a dozen ways of tampering, and none accepted.
//!
//! Accepted means that something could be decided by it: its signature fits *and* [`decide`] would send or
//! count an answer, with everything else as it should be. The generator is seeded, so that a failure is the
//! same on every machine; the seed and the text that was accepted are in its message.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::tests::{keys, link};
use super::*;
use crate::approval::answer::{Answer, Attempt, Facts, decide};
use crate::approval::keys::tests::key;
use crate::approval::policy::Policy;
use crate::approval::request::tests::record;
use crate::approval::standing::Standing;
use crate::approval::tests::{approver, at, token};
use crate::approval::{Record, Token, Verdict, Via};
use crate::names::{ActionName, ExecutionId, StageName};

const MILLION: u64 = 1_000_000;
const THREADS: u64 = 2;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and its low bits are as good as its high ones.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// What is honest here: what these keys signed, and who waits for what.
struct World {
    keys: Keys,
    /// Links that were sent out, as text and as bytes.
    sent: Vec<(String, Vec<u8>)>,
    honest: HashSet<String>,
    policy: Policy,
    record: Record,
    standing: Standing,
}

impl World {
    fn new() -> Self {
        let keys = keys();
        let changed = |change: fn(&mut Link)| {
            let mut link = link();
            change(&mut link);
            link
        };
        let links = [
            link(),
            changed(|link| link.approver = approver("bob@example.com")),
            changed(|link| {
                link.approval.execution = ExecutionId::new("ffffffff-4b5a-6978-8796-a5b4c3d2e1f0").unwrap();
            }),
            changed(|link| link.approval.stage = StageName::new("Other").unwrap()),
            changed(|link| link.approval.action = ActionName::new("Other").unwrap()),
            changed(|link| link.token = Token::new("another").hash()),
        ];
        let mut sent: Vec<String> = links.iter().map(|link| link.sign(&keys)).collect();
        // Those of many other people and runs: enough that no two forgeries need be alike.
        sent.extend((0..1000_u32).map(|number| {
            let mut link = link();
            link.approver = approver(&format!("person{number}@example.com"));
            link.approval.execution =
                ExecutionId::new(format!("{number:08x}-4b5a-6978-8796-a5b4c3d2e1f0")).unwrap();
            link.sign(&keys)
        }));
        // Still out from before the rotation.
        sent.push(link().sign(&Keys::new(key("k1", 1), None)));
        let bytes = |text: &String| URL_SAFE_NO_PAD.decode(text).unwrap();
        Self {
            honest: sent.iter().cloned().collect(),
            sent: sent.iter().map(|text| (text.clone(), bytes(text))).collect(),
            keys,
            policy: Policy::parse(
                r#"{"version":1,"approvers":[{"email":"ann@example.com"},{"email":"bob@example.com"}]}"#,
            )
            .unwrap(),
            record: record(),
            standing: Standing::Waiting {
                token: token(),
                since: None,
            },
        }
    }

    /// Whether something could be decided by it.
    fn accepts(&self, text: &str) -> bool {
        let Ok(verified) = Link::verify(text, &self.keys) else {
            return false;
        };
        let facts = Facts {
            pipeline: &self.record.approval.pipeline,
            policy: Some(&self.policy),
            record: Some(&self.record),
            decision: None,
            votes: &[],
            standing: &self.standing,
            newer_waiting: 0,
        };
        let attempt = Attempt {
            verdict: Verdict::Approved,
            comment: "",
            via: Via::Link,
            same_origin: true,
            nonce_fits: true,
            older_confirmed: false,
        };
        let answer = decide(&verified, attempt, facts, at("2026-05-29T15:00:00Z"));
        !matches!(answer, Answer::Closed(_))
    }

    fn any(&self, random: &mut Random) -> &(String, Vec<u8>) {
        &self.sent[random.below(self.sent.len())]
    }
}

/// Its keys are always the same.
type Hasher = BuildHasherDefault<DefaultHasher>;

type Way = fn(&World, &mut Random) -> String;

const WAYS: [(&str, Way); 12] = [
    ("random bytes", random_bytes),
    ("one to three bits", bits),
    ("one field", one_field),
    ("cut or lengthened", cut_or_lengthened),
    ("another link's signature", other_signature),
    ("a signature of chance", chance_signature),
    ("another key's id", other_key_id),
    ("a key of one's own under a live id", own_key),
    ("written differently", written_differently),
    ("a boundary between fields moved", boundary),
    ("a length changed", length),
    (
        "honestly signed, and expired or not theirs to use",
        honest_and_useless,
    ),
];

fn random_bytes(_: &World, random: &mut Random) -> String {
    let count = random.below(400);
    URL_SAFE_NO_PAD.encode(random.bytes(count))
}

fn bits(world: &World, random: &mut Random) -> String {
    let mut bytes = world.any(random).1.clone();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn one_field(world: &World, random: &mut Random) -> String {
    let mut bytes = world.any(random).1.clone();
    let fields = fields(&bytes);
    let (start, end) = fields[random.below(fields.len())];
    bytes[start + random.below(end - start)] = random.byte();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn cut_or_lengthened(world: &World, random: &mut Random) -> String {
    let (text, bytes) = world.any(random);
    match random.below(4) {
        0 => text[..random.below(text.len())].to_owned(),
        1 => format!("{text}{}", ["A", "=", "-", "/", ".", "AAAA"][random.below(6)]),
        2 => {
            let more = 1 + random.below(40);
            URL_SAFE_NO_PAD.encode([bytes.as_slice(), &random.bytes(more)].concat())
        }
        _ => URL_SAFE_NO_PAD.encode(&bytes[1 + random.below(40)..]),
    }
}

fn other_signature(world: &World, random: &mut Random) -> String {
    let (one, other) = (&world.any(random).1, &world.any(random).1);
    let (signed, signature) = (&one[..one.len() - MAC_BYTES], &other[other.len() - MAC_BYTES..]);
    URL_SAFE_NO_PAD.encode([signed, signature].concat())
}

fn chance_signature(world: &World, random: &mut Random) -> String {
    let bytes = &world.any(random).1;
    URL_SAFE_NO_PAD.encode([&bytes[..bytes.len() - MAC_BYTES], &random.bytes(MAC_BYTES)].concat())
}

fn other_key_id(world: &World, random: &mut Random) -> String {
    let bytes = &world.any(random).1;
    let mut moved = vec![VERSION];
    put(&mut moved, ["k1", "k2", "k3", "K2", "", "k22"][random.below(6)]);
    // Behind version, length and the two bytes of the id that is there.
    moved.extend(&bytes[5..]);
    // The ids are few: another byte as well, now and then.
    if random.below(2) == 0 {
        let at = random.below(moved.len());
        moved[at] ^= 1 << random.below(8);
    }
    URL_SAFE_NO_PAD.encode(moved)
}

fn own_key(_: &World, random: &mut Random) -> String {
    let own = Key::new(["k1", "k2"][random.below(2)], random.bytes(32)).unwrap();
    link().sign(&Keys::new(own, None))
}

fn written_differently(world: &World, random: &mut Random) -> String {
    let (text, bytes) = world.any(random);
    let (head, tail) = text.split_at(random.below(text.len()));
    let (first, rest) = tail.split_at(1);
    match random.below(7) {
        0 => URL_SAFE.encode(bytes) + &"=".repeat(1 + random.below(4)),
        1 => format!("{}=", STANDARD.encode(bytes)),
        2 => format!("{head}%{:02X}{rest}", first.as_bytes()[0]),
        3 if first.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            format!("{head}{}{rest}", first.to_ascii_uppercase())
        }
        3 => format!("{head}{}{rest}", first.to_ascii_lowercase()),
        4 => format!("{head} {tail}"),
        5 => format!("{head}\n{tail}"),
        _ => text.replace('-', "+").replace('_', "/") + "=",
    }
}

/// A character goes over to the next text or comes from it, and the lengths with it.
fn boundary(world: &World, random: &mut Random) -> String {
    let bytes = &world.any(random).1;
    let fields = fields(bytes);
    let mut texts: Vec<Vec<u8>> = TEXTS
        .iter()
        .map(|at| bytes[fields[*at].0 + 2..fields[*at].1].to_vec())
        .collect();
    for _ in 0..=random.below(3) {
        let at = random.below(texts.len() - 1);
        if random.below(2) == 0 {
            if let Some(last) = texts[at].pop() {
                texts[at + 1].insert(0, last);
            }
        } else if !texts[at + 1].is_empty() {
            let first = texts[at + 1].remove(0);
            texts[at].push(first);
        }
    }
    let mut moved = vec![VERSION];
    for (text, at) in texts.iter().zip(TEXTS) {
        if at == 7 {
            moved.extend(&bytes[fields[6].0..fields[6].1]);
        }
        moved.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        moved.extend(text);
    }
    moved.extend(&bytes[fields[8].0..]);
    URL_SAFE_NO_PAD.encode(moved)
}

fn length(world: &World, random: &mut Random) -> String {
    let mut bytes = world.any(random).1.clone();
    let at = fields(&bytes)[TEXTS[random.below(TEXTS.len())]].0;
    let length = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let length = length.wrapping_add(1 + u16::from(random.byte()));
    bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn honest_and_useless(world: &World, random: &mut Random) -> String {
    let mut link = link();
    match random.below(3) {
        // Up to the moment at which the test decides.
        0 => {
            let end = i64::try_from(random.below(1_780_000_000)).unwrap();
            link.expires = Timestamp::from_second(end).unwrap();
        }
        1 => link.approver = approver(&format!("mallory{}@example.com", random.next())),
        _ => link.token = Token::new(random.next().to_string()).hash(),
    }
    link.sign(&world.keys)
}

/// Which of [`fields`] are texts.
const TEXTS: [usize; 6] = [1, 2, 3, 4, 5, 7];

/// Where each field lies, a text with its length: version, key id, pipeline, run, stage, action, the token's
/// hash, approver, expiry, signature.
fn fields(bytes: &[u8]) -> [(usize, usize); 10] {
    let mut at = 0;
    std::array::from_fn(|index| {
        let start = at;
        at += match index {
            0 => 1,
            6 => TokenHash::BYTES,
            8 => 8,
            9 => MAC_BYTES,
            _ => 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]])),
        };
        (start, at)
    })
}

#[test]
fn of_a_million_forged_or_altered_links_none_is_accepted() {
    let world = World::new();
    for (text, _) in &world.sent[..2] {
        assert!(
            world.accepts(text),
            "what is honest is accepted, or nothing is shown"
        );
    }
    let forge = |seed: u64| {
        let (mut random, mut by_way) = (Random(seed), [0_u64; WAYS.len()]);
        let mut tried = HashSet::new();
        while by_way.iter().sum::<u64>() < MILLION / THREADS {
            let way = random.below(WAYS.len());
            let text = WAYS[way].1(&world, &mut random);
            // A byte may have been put in its own place, and the same forgery been made before.
            if world.honest.contains(&text) || !tried.insert(Hasher::default().hash_one(&text)) {
                continue;
            }
            assert!(
                !world.accepts(&text),
                "accepted by {:?} (seed {seed}): {text}",
                WAYS[way].0
            );
            by_way[way] += 1;
        }
        by_way
    };
    let forge = &forge;
    let all = std::thread::scope(|scope| {
        let forgers: Vec<_> = (1..=THREADS)
            .map(|seed| scope.spawn(move || forge(seed)))
            .collect();
        let all = forgers.into_iter().map(|forger| forger.join().unwrap());
        all.collect::<Vec<_>>()
    });
    assert_eq!(all.iter().flatten().sum::<u64>(), MILLION);
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let count: u64 = all.iter().map(|by_way| by_way[way]).sum();
        assert!(count > 30_000, "only {count} by {name:?}");
    }
}
