use super::*;
use crate::engine::{Gpu, chain};
use crate::policy::{self, Conditions, Policy};
use crate::report::Table;
use crate::trace::{self, Agents, Documents};

fn setting(fleet: Vec<Gpu>, routers: usize) -> Setting {
    Setting {
        fleet,
        block_tokens: 64,
        routers,
        workers: 1,
        poll_micros: 200_000,
        warmup: 30,
        seed: 5,
        faults: Faults::default(),
    }
}

fn make<'a>(name: &'a str, setting: &'a Setting) -> impl FnMut(usize) -> Box<dyn Policy> + 'a {
    let config = plimsoll_core::config::Config::default();
    move |router| {
        let conditions = Conditions {
            fleet: &setting.fleet,
            block_tokens: setting.block_tokens,
            poll_micros: setting.poll_micros,
            seed: chain(setting.seed, router as u64),
            config: &config,
            decisions: None,
        };
        policy::make(name, &conditions).unwrap()
    }
}

fn agents(count: usize, rate: f64) -> Vec<Prepared> {
    prepare(
        &Agents {
            prompts: 12,
            ..Agents::default()
        }
        .rows(count, rate, 3),
        64,
    )
}

#[test]
fn every_policy_finishes_every_request_and_repeats_itself() {
    let requests = agents(300, 12.0);
    for routers in [1, 3] {
        let setting = setting(vec![Gpu::H200, Gpu::H200, Gpu::A100], routers);
        for name in policy::names() {
            let first = run(&setting, &requests, make(name, &setting));
            assert_eq!(first.failed, 0, "{name}");
            assert_eq!(
                first,
                run(&setting, &requests, make(name, &setting)),
                "{name}"
            );
        }
    }
}

#[test]
fn workers_of_one_proxy_know_each_others_prefixes() {
    let requests = agents(600, 20.0);
    let apart = setting(vec![Gpu::H200; 4], 4);
    let together = Setting {
        routers: 1,
        workers: 4,
        ..apart.clone()
    };
    let of = |setting: &Setting| run(setting, &requests, make("plimsoll", setting));
    let (apart, together) = (of(&apart), of(&together));
    assert_eq!(together.failed, 0);
    assert!(
        together.hit_ratio > apart.hit_ratio,
        "{} against {}",
        together.hit_ratio,
        apart.hit_ratio
    );
}

/// A credit for a cache hit that does not come must not make its host look slow: such a host would never be chosen again.
#[test]
fn no_host_is_locked_out_by_a_wrong_credit() {
    let requests = agents(600, 30.0);
    for (routers, workers) in [(1, 4), (4, 1)] {
        let setting = Setting {
            workers,
            ..setting(vec![Gpu::H200; 4], routers)
        };
        let spread = run(&setting, &requests, make("plimsoll", &setting)).work_spread_points;
        assert!(
            spread < 30.0,
            "{routers} routers of {workers} workers: {spread}"
        );
    }
}

#[test]
fn prefix_awareness_and_exact_knowledge_pay() {
    let requests = agents(600, 20.0);
    let setting = setting(vec![Gpu::H200; 4], 1);
    let of = |name| run(&setting, &requests, make(name, &setting));
    let (blind, aware, oracle) = (of("round_robin"), of("plimsoll"), of("oracle"));
    assert!(
        aware.hit_ratio > blind.hit_ratio,
        "{} against {}",
        aware.hit_ratio,
        blind.hit_ratio
    );
    assert!(aware.ttft_ms.mean < blind.ttft_ms.mean);
    assert!(oracle.ttft_ms.mean < blind.ttft_ms.mean);
}

#[test]
fn requests_are_prepared_as_the_filter_sees_them() {
    let rows = Agents {
        system_tokens: (30_000, 30_000),
        ..Agents::default()
    }
    .rows(2, 1.0, 1);
    for (request, row) in prepare(&rows, 64).iter().zip(&rows) {
        assert!(!request.blocks_complete);
        let text = u64::from(row.input_tokens()) * 4;
        // The unread rest holds a few bytes of JSON besides text.
        assert!(
            (text..text + 100).contains(&request.prompt_bytes),
            "{} of {text}",
            request.prompt_bytes
        );
        let last = request.blocks.last().map_or(0, |block| block.end);
        assert!((60_000..=65_536).contains(&last), "{last}");
    }
}

#[test]
fn flooding_measures_capacity() {
    let documents = Documents::default();
    let rows = documents.rows(400, 1.0, 1);
    let one = flood_rate(&[Gpu::L4], 64, &rows);
    let four = flood_rate(&[Gpu::L4; 4], 64, &rows);
    assert!((four / one - 4.0).abs() < 0.4, "{one} {four}");
    // 0.97 x 0.2 s + 0.03 x 12 s of prefill, and some decoding.
    assert!((1.0..2.2).contains(&one), "{one}");
}

/// A change in any policy or in the engine model shows here as a changed table; look at it and paste the new one.
#[test]
fn golden_table() {
    let mut rows = Documents::default().rows(200, 1.0, 9);
    trace::set_rate(&mut rows, 4.0);
    let requests = prepare(&rows, 64);
    let setting = setting(vec![Gpu::L4; 4], 1);
    let mut table = Table::new(["policy", "TTFT p50", "p99", "E2E p99", "spread"]);
    for name in ["round_robin", "lmetric", "gie", "oracle"] {
        let result = run(&setting, &requests, make(name, &setting));
        table.line(vec![
            name.to_owned(),
            format!("{:.0}", result.ttft_ms.p50),
            format!("{:.0}", result.ttft_ms.p99),
            format!("{:.0}", result.e2e_ms.p99),
            format!("{:.1}", result.work_spread_points),
        ]);
    }
    assert_eq!(table.to_string(), include_str!("golden.txt"), "\n{table}");
}

fn faults(events: &[&str]) -> Faults {
    Faults {
        events: events.iter().map(|text| text.parse().unwrap()).collect(),
        ..Faults::default()
    }
}

/// Every policy goes on with who is there: requests fail only with the host that dies under them.
#[test]
fn hosts_come_and_go() {
    let requests = agents(600, 20.0);
    let events = [
        "t=8s host=1 die",
        "t=14s host=1 join",
        "t=4s host=2 join",
        "t=16s host=0 leave",
    ];
    let setting = Setting {
        faults: faults(&events),
        ..setting(vec![Gpu::H200; 4], 2)
    };
    for name in policy::names() {
        let (result, records) = record(&setting, &requests, make(name, &setting));
        assert!(result.failed < 60, "{name}: {} failed", result.failed);
        let served = |host, from: u64, to: u64| {
            let there = requests.iter().zip(&records).filter(|(request, record)| {
                (from..to).contains(&(request.at_micros / 1_000_000)) && record.host == Some(host)
            });
            there.count()
        };
        // A poll later everyone knows.
        assert_eq!(served(1, 9, 14), 0, "{name}");
        assert_eq!(served(2, 0, 4), 0, "{name}");
        assert_eq!(served(0, 17, 60), 0, "{name}");
        assert!(served(2, 5, 60) > 0, "{name}");
        // A hash may have nothing for it.
        assert!(served(1, 15, 60) > 0 || name.ends_with("hash"), "{name}");
    }
}

#[test]
fn polls_get_lost_and_come_late() {
    let requests = agents(300, 12.0);
    let disturbed = |poll_loss, poll_delay_micros| Setting {
        faults: Faults {
            poll_loss,
            poll_delay_micros,
            ..Faults::default()
        },
        ..setting(vec![Gpu::H200; 3], 2)
    };
    let of = |setting: &Setting| run(setting, &requests, make("least_load", setting));
    let (well, lost, late) = (
        of(&disturbed(0.0, 0)),
        of(&disturbed(1.0, 0)),
        of(&disturbed(0.0, 3_000_000)),
    );
    assert_eq!(lost.failed + late.failed, 0);
    // Whoever hears nothing of queues takes what it sent long ago for waiting.
    assert!(lost.ttft_ms.p99 > well.ttft_ms.p99);
    assert_ne!(late, well);
}

#[test]
fn a_throttled_host_takes_twice_the_time() {
    let requests = agents(200, 1.0);
    let slow = Setting {
        faults: faults(&["t=0s host=0 speed=0.5"]),
        ..setting(vec![Gpu::H200], 1)
    };
    let well = setting(vec![Gpu::H200], 1);
    let of = |setting: &Setting| run(setting, &requests, make("round_robin", setting)).e2e_ms;
    let ratio = of(&slow).p50 / of(&well).p50;
    assert!((1.9..2.6).contains(&ratio), "{ratio}");
}
