//! Everything that reads bytes from outside, as properties of any bytes at all: nothing panics, output is bounded, and how the bytes
//! were cut does not matter. `fuzz/` runs the same functions under libFuzzer; `readers_hold` runs them over the committed corpora and
//! over damage to them.

use plimsoll_core::choose::Rules;
use plimsoll_core::collect::{Collector, Heard, PollFailure};
use plimsoll_core::config::{Config, Policy};
use plimsoll_core::fleet::Listed;
use plimsoll_core::hash;
use plimsoll_core::host::{Address, MODELS};
use plimsoll_core::observe::{Body, Observer, Seen};
use plimsoll_core::pick::RANKS;
use plimsoll_core::record;
use plimsoll_core::request::{Kind, MAX_BLOCKS, Request, Scanner};
use plimsoll_core::rng::Rng;
use plimsoll_core::router::{Router, Verdict};
use plimsoll_core::scrape::{self, EngineFacts};
use plimsoll_core::share::{self, Share};
use plimsoll_core::snapshot::{self, View};
use plimsoll_core::time::Instant;

/// A property by the name of its fuzz target and corpus.
pub type Property = (&'static str, fn(&[u8]));

/// Every property.
pub const ALL: [Property; 9] = [
    ("scanner", scanner),
    ("observer", observer),
    ("scrape", scrape),
    ("snapshot", snapshot),
    ("share", share),
    ("record", record),
    ("config", config),
    ("discovery", discovery),
    ("names", names),
];

/// Tables of a router under test: small, so that they overflow.
const HOSTS: usize = 8;

fn now() -> Instant {
    Instant::from_micros(1_700_000_000_000_000)
}

/// The first byte, to choose by, and the rest.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first()
        .map_or((0, data), |(first, rest)| (*first, rest))
}

/// Cuts `data` at places that its own bytes give.
fn cuts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rng = Rng::new(hash::key(data));
    let most = 1 + rng.below(40);
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = (rng.below(most + 1) as usize).min(rest.len());
        let (piece, after) = rest.split_at(at);
        rest = after;
        Some(piece)
    })
}

/// Decision records: the bytes as they are, and made a record; and their text.
pub fn record(data: &[u8]) {
    const HEADER: usize = 496;
    const HOST: usize = 112;
    if let Ok(view) = record::View::new_checked(data) {
        decide_again(&view);
    }
    let mut sealed = data.to_vec();
    let hosts = data.len().saturating_sub(HEADER) / HOST;
    sealed.resize(HEADER + hosts * HOST, 0);
    sealed[..4].copy_from_slice(b"PLSD");
    for (at, value) in [(4, 1), (6, HEADER), (8, HOST), (10, hosts)] {
        sealed[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
    }
    let mut checksum = hash::Chain::new();
    checksum.update(&sealed[4..16]);
    checksum.update(&sealed[24..]);
    sealed[16..24].copy_from_slice(&checksum.value().to_le_bytes());
    let view = record::View::new_checked(&sealed).unwrap();
    assert_eq!(view.hosts().count(), hosts);
    decide_again(&view);
    assert!(record::split(&sealed).eq([&sealed[..]]));

    let (mut text, mut back) = (String::new(), Vec::new());
    record::encode(data, &mut text);
    assert!(record::decode(text.as_bytes(), &mut back));
    assert_eq!(back, data);
    record::decode(data, &mut back);
}

fn decide_again(view: &record::View<'_>) {
    assert!(view.choice().ranked.len() <= RANKS);
    let chosen = view.replay().choice.ranked;
    let eligible = |index: usize| view.host(index).is_some_and(|host| host.ruled_out == 0);
    assert!(chosen.iter().all(eligible));
    let weights = view.shadow_weights();
    for (_, policy) in Policy::NAMES {
        let rules = Rules {
            policy,
            weights: &weights,
            tie_band: view.tie_band(),
        };
        assert!(view.under(&rules).ranked.iter().all(eligible));
    }
}

/// Request bodies. The first byte chooses the endpoint.
pub fn scanner(data: &[u8]) {
    let (first, body) = choice(data);
    let kinds = [Kind::Chat, Kind::Completion, Kind::Other, Kind::Embeddings];
    let kind = kinds[usize::from(first % 4)];
    let mut whole = Scanner::new(kind);
    whole.feed(body);
    let facts = whole.facts();
    assert!(facts.model.is_none_or(|model| model.len() <= 256));
    assert!(facts.blocks.len() <= MAX_BLOCKS);
    // A token of a token array counts for 4 bytes, and takes one at least.
    assert!(facts.prompt_bytes <= 4 * body.len() as u64);
    let ends: Vec<u32> = facts.blocks.iter().map(|block| block.end).collect();
    assert!(ends.is_sorted_by(|a, b| a < b));
    assert!(
        ends.last()
            .is_none_or(|end| u64::from(*end) <= facts.prompt_bytes)
    );

    let mut pieces = Scanner::new(Kind::Other);
    pieces.feed(b"{\"model\":\"left over\", \"temperature\":0, \"messages\":[\"left over\"");
    pieces.reset(kind);
    cuts(body).for_each(|piece| pieces.feed(piece));
    assert_eq!(
        pieces.facts(),
        facts,
        "however it was cut, and whatever came before"
    );
}

/// Response bodies. The first byte chooses the content type.
pub fn observer(data: &[u8]) {
    let (first, body) = choice(data);
    let kind = [Body::Sse, Body::Json, Body::Opaque][usize::from(first % 3)];
    let whole = Observer::new(kind).feed(body);
    assert!(whole.tokens as usize <= body.len());
    assert!(kind != Body::Opaque || whole == Seen::default());

    let mut observer = Observer::new(kind);
    let pieces = cuts(body).fold(Seen::default(), |sum, piece| {
        let seen = observer.feed(piece);
        Seen {
            tokens: sum.tokens + seen.tokens,
            usage: seen.usage.or(sum.usage),
            done: sum.done | seen.done,
        }
    });
    assert_eq!(pieces, whole, "however it was cut");
}

/// Metrics pages.
pub fn scrape(data: &[u8]) {
    let mut facts = EngineFacts::default();
    let recognised = scrape::parse(data, &mut facts);
    assert!(recognised <= data.len());
    assert!(facts.kv_used_q16 <= 1 << 16);
    if recognised == 0 {
        assert_eq!(facts, EngineFacts::default());
    }
    let mut again = facts;
    assert_eq!(scrape::parse(data, &mut again), recognised);
    assert_eq!(again, facts, "a page says the same twice");

    let mut collector = Collector::new(configuration(), 1);
    let address = address(0);
    assert_eq!(
        collector.on_polled(now(), address, Ok(data)),
        recognised > 0
    );
    collector.on_polled(now(), address, Err(PollFailure::Unreachable));
    published(&mut collector);
}

/// Snapshots: as they are, and under a header that fits them, so that what lies behind the checksum is read too.
pub fn snapshot(data: &[u8]) {
    apply_snapshot(data);
    let mut sealed = Vec::new();
    snapshot::write(&mut sealed, 7, now(), 3, std::iter::empty());
    let records = data.len() / snapshot::RECORD;
    sealed.extend_from_slice(&data[..records * snapshot::RECORD]);
    sealed[40..44].copy_from_slice(&(records as u32).to_le_bytes());
    let checksum = hash::key(&sealed[32..]);
    sealed[24..32].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(
        View::new_checked(&sealed).map(|view| view.records().count()),
        Ok(records)
    );
    apply_snapshot(&sealed);
}

fn apply_snapshot(bytes: &[u8]) {
    let mut router = Router::new(configuration(), 1);
    let before = router.host_count();
    let Ok(view) = View::new_checked(bytes) else {
        assert!(router.apply_snapshot(now(), bytes).is_err());
        assert_eq!(router.host_count(), before, "the last good state stays");
        return;
    };
    let records: Vec<_> = view.records().collect();
    let mut again = Vec::new();
    let listed = records.iter().map(|record| Listed {
        address: record.address,
        weight: record.weight,
        models: record.models,
        state: record.state,
        since: record.since,
        polled: record.polled,
    });
    snapshot::write(
        &mut again,
        view.epoch(),
        view.stamp(),
        view.writer(),
        listed,
    );
    let rewritten = View::new_checked(&again).unwrap();
    assert!(
        rewritten.records().eq(records.iter().copied()),
        "written as it was read"
    );

    // What a worker knows of its own comes first, so that both rungs of the ladder see the hosts.
    assert_eq!(router.apply_snapshot(now(), bytes), Ok(view.epoch()));
    assert!(router.host_count() <= HOSTS.min(records.len()));
    decide(&mut router);
    router.on_tick(now());
    decide(&mut router);
}

/// Shares of other workers: as they are, and under a header that fits them.
pub fn share(data: &[u8]) {
    apply_share(data);
    let (first, rest) = choice(data);
    let parts = (rest.len() / share::RECORD).min(usize::from(first % 8));
    let blocks = (rest.len() - parts * share::RECORD) / share::BLOCK;
    let mut sealed = Vec::new();
    share::write(
        &mut sealed,
        9,
        now(),
        1 << 20,
        std::iter::empty(),
        std::iter::empty(),
    );
    sealed.extend_from_slice(&rest[..parts * share::RECORD + blocks * share::BLOCK]);
    for part in 0..parts {
        // Hosts that are known, so that what is said of them counts.
        let key = address(part).key();
        sealed[48 + part * share::RECORD..][..8].copy_from_slice(&key.to_le_bytes());
    }
    sealed[32..36].copy_from_slice(&(parts as u32).to_le_bytes());
    sealed[36..40].copy_from_slice(&(blocks as u32).to_le_bytes());
    let mut checksum = hash::Chain::new();
    checksum.update(&sealed[..40]);
    checksum.update(&sealed[48..]);
    sealed[40..48].copy_from_slice(&checksum.value().to_le_bytes());
    assert!(Share::new_checked(&sealed).is_some());
    apply_share(&sealed);
}

fn apply_share(bytes: &[u8]) {
    if let Some(share) = Share::new_checked(bytes) {
        assert!(
            share.parts().count() * share::RECORD + share.blocks().count() * share::BLOCK
                <= bytes.len()
        );
    }
    let mut router = Router::new(configuration(), 1);
    router.apply_share(now(), 0, bytes);
    router.on_tick(now());
    decide(&mut router);
    router.apply_share(now(), 1, bytes);
    router.on_tick(now());
    decide(&mut router);
    let mut own = Vec::new();
    router.write_share(now(), &mut own);
    assert!(Share::new_checked(&own).is_some());
    merge(bytes, &own);
}

/// The same bytes from a worker's slot, and from another proxy.
fn merge(bytes: &[u8], own: &[u8]) {
    let peer = address(HOSTS);
    let mut config = configuration();
    config.exchange.peers = vec![peer];
    let mut collector = Collector::new(config, 1);
    let exchange = collector.exchange();
    assert!(exchange.begin(now()));
    exchange.merge(now(), bytes);
    exchange.merge(now(), own);
    let mut told = Vec::new();
    exchange.write_own(now(), bytes, &mut told);
    assert!(Share::new_checked(&told).is_some());
    let heard = collector.on_exchanged(now(), peer, Some(bytes));
    let exchange = collector.exchange();
    let news = exchange.write_others(now(), &mut told);
    assert_eq!(news, heard == Heard::Share);
    let others = Share::new_checked(&told).unwrap();
    assert!(others.parts().count() <= if news { HOSTS } else { 0 });
    assert!(told.len() <= exchange.most_bytes());
}

/// Configuration documents.
pub fn config(data: &[u8]) {
    match Config::parse(data) {
        Err(errors) => {
            let shown = errors.to_string();
            assert!(!shown.is_empty() && !errors.messages().is_empty());
            // Every message names what is accepted, so it may be longer than the fault.
            assert!(shown.len() <= 1024 * (data.len() + 1), "{}", shown.len());
        }
        Ok(config) => {
            assert_eq!(Config::parse(data).as_ref(), Ok(&config));
            assert!(config.hosts.len() <= config.limits.hosts);
            assert!(config.stale_after >= config.poll.every);
            assert!(config.tie_band <= 1 << 16);
        }
    }
}

/// The admin interface's host list.
pub fn discovery(data: &[u8]) {
    let mut collector = Collector::new(configuration(), 1);
    let before = collector.len();
    let named = collector.on_discovered(Some(data));
    assert!(collector.len() <= HOSTS);
    assert!(
        named || collector.len() == before,
        "what is not understood changes nothing"
    );
    let records = published(&mut collector);
    assert_eq!(records.len(), collector.len());
    for (n, address) in records.iter().enumerate() {
        assert!(!records[..n].contains(address), "once each");
        let shown = address.to_string();
        assert_eq!(
            Address::parse(&shown),
            Some(*address),
            "what is published can be read"
        );
    }
}

/// Paths, content types and addresses.
pub fn names(data: &[u8]) {
    let _ = Kind::from_path(data);
    let _ = Body::from_content_type(data);
    assert_ne!(hash::key(data), 0);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(address) = Address::parse(text)
    {
        assert_eq!(Address::parse(&address.to_string()), Some(address));
        assert_eq!(
            Address::from_bytes(&address.to_bytes()).key(),
            address.key()
        );
    }
}

fn address(n: usize) -> Address {
    Address::parse(&format!("10.0.0.{}:8000", n + 1)).unwrap()
}

/// A pool of two hosts with room for a few more.
fn configuration() -> Config {
    let mut config = Config::parse(br#"{"hosts":["10.0.0.1:8000","10.0.0.2:8000"]}"#).unwrap();
    config.limits.hosts = HOSTS;
    config.limits.inflight = 16;
    config.limits.prefix_blocks = 64;
    config
}

/// What the collector publishes, which every reader must be able to read.
fn published(collector: &mut Collector) -> Vec<Address> {
    let mut out = Vec::new();
    if !collector.publish(now(), &mut out) {
        return Vec::new();
    }
    let view = View::new_checked(&out).expect("a snapshot that is published can be read");
    view.records().map(|record| record.address).collect()
}

/// Decides a few requests; any verdict is right as long as it names hosts that are there, best first.
fn decide(router: &mut Router) {
    for seed in 0..3 {
        let blocks = [1, 2].map(|n| plimsoll_core::request::Block {
            hash: n,
            end: n as u32 * 256,
        });
        let model = router
            .hosts()
            .map(|(_, host)| host.models[seed as usize % MODELS])
            .next()
            .unwrap_or(0);
        let request = Request {
            model,
            prompt_bytes: 600,
            blocks: &blocks,
            seed,
            ..Request::default()
        };
        if let Verdict::Forward(decision) = router.on_request(now(), &request) {
            assert!((1..=3).contains(&decision.ranked.len()));
            for host in decision.ranked.iter() {
                assert!(router.hosts().any(|(index, _)| index == host));
            }
            let totals = decision.terms.iter().take(decision.ranked.len());
            let totals: Vec<u64> = totals.map(|terms| terms.total).collect();
            // A tie may be a 64th above the best.
            let most = totals.iter().map(|total| total.saturating_add(total / 64));
            assert!(most.min() >= Some(totals[0]), "{totals:?}");
        }
    }
}
