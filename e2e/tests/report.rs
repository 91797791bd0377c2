//! From the access log of a real Envoy to every tenant's bill.

use std::process::Command;

use plimsoll_e2e::{Engines, Protocol, Setting, Stand, chat, sim, until, whole};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_makes_a_bill() {
    let engines = Engines::start(2, 50).await;
    let stand = Stand::start(Setting {
        access_log: true,
        ..Setting::hosts(engines.addresses.clone()).configuration(json!({
            "access_log": true,
            "tiers": [{"name": "gold"}, {"name": "free"}],
            "tenants": [
                {"name": "Acme Inc", "tier": "gold"},
                {"name": "zeta", "tier": "free", "requests_per_minute": 2},
            ],
            "identity": {"header": "x-tenant", "trusted_hops": ["127.0.0.0/8"]},
        }))
    })
    .await;
    let mut client = stand.client(Protocol::Http1).await;
    let mut told = Vec::new();
    for (tenant, usage) in [
        ("Acme Inc", true),
        ("Acme Inc", false),
        ("zeta", true),
        ("zeta", true),
        ("zeta", true),
    ] {
        let body = json!({"model": "m", "stream": true, "max_tokens": 12, "stream_options": {"include_usage": usage},
            "messages": [{"role": "user", "content": "ship ".repeat(400)}]});
        let mut request = chat(whole(body.to_string()));
        request
            .headers_mut()
            .insert("x-tenant", tenant.parse().unwrap());
        told.push(client.send(request).await.status.as_u16());
    }
    assert_eq!(told, [200, 200, 200, 200, 429]);
    // Envoy writes its log in batches.
    let lines = until("five lines of access log", async || {
        let lines = stand.access_log();
        (lines.len() == 5).then_some(lines)
    })
    .await;
    let log = stand.path().join("lines.log");
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&log, text.join("\n")).unwrap();
    let json = stand.path().join("report.json");
    let output = Command::new(sim())
        .args(["report", "--output-price", "1000000", "--json"])
        .args([&json, &log])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let of = |place: usize, name: &str| report["tenants"][place][name].clone();
    assert_eq!(
        (of(0, "tenant"), of(0, "tier")),
        (json!("Acme Inc"), json!("gold"))
    );
    assert_eq!((of(0, "served"), of(0, "estimated")), (json!(2), json!(1)));
    assert_eq!(
        (of(0, "output_tokens"), of(0, "amount")),
        (json!(24), json!(24.0))
    );
    assert!(of(0, "gpu_seconds").as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(
        (of(1, "tenant"), of(1, "served")),
        (json!("zeta"), json!(2))
    );
    assert_eq!(of(1, "refused"), json!({"requests_per_minute": 1}));
    assert!(of(1, "prompt_tokens").as_u64().unwrap() >= 1000);
    assert_eq!(report["unreadable_lines"], 0);
    stand.assert_sound();
}
