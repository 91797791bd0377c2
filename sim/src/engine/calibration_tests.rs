//! The step model against the measurements it was fitted to.

use serde::Deserialize;

use super::{Gpu, StepLoad};

#[derive(Deserialize)]
struct Rows<R> {
    rows: Vec<R>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Pure {
    Prefill {
        new_tokens: u32,
        cached_tokens: u32,
        ms: f64,
    },
    Decode {
        batch: u32,
        cached_tokens: u32,
        ms: f64,
    },
}

#[derive(Deserialize)]
struct Mixed {
    batch: u32,
    cached_tokens: u32,
    prefill_tokens: u32,
    ms: f64,
}

fn load(decoding: u32, context: u32, chunk: u32, before: u32) -> StepLoad {
    let mut load = StepLoad::default();
    for _ in 0..decoding {
        load.add_decode(context);
    }
    if chunk > 0 {
        load.add_chunk(chunk, before);
    }
    load
}

#[test]
fn the_model_is_within_its_stated_error_of_every_measured_step() {
    let pure: Rows<Pure> =
        serde_json::from_str(include_str!("../../data/calibration/h200-llama3-8b.json")).unwrap();
    let mixed: Rows<Mixed> = serde_json::from_str(include_str!(
        "../../data/calibration/h200-llama3-8b-mixed.json"
    ))
    .unwrap();
    let model = Gpu::H200.step_model();
    let mut steps = Vec::new();
    for row in pure.rows {
        match row {
            // Measured with an expanded copy of the KV heads: an upper bound, and no part of the fit.
            Pure::Prefill {
                new_tokens,
                cached_tokens,
                ms,
            } if cached_tokens > 0 => {
                assert!(model.step_ms(&load(0, 0, new_tokens, cached_tokens)) <= ms);
            }
            Pure::Prefill { new_tokens, ms, .. } => steps.push((load(0, 0, new_tokens, 0), ms)),
            Pure::Decode {
                batch,
                cached_tokens,
                ms,
            } => steps.push((load(batch, cached_tokens, 0, 0), ms)),
        }
    }
    // The mixed runs prefill a fresh sequence beside the decoding ones.
    steps.extend(mixed.rows.iter().map(|row| {
        (
            load(row.batch, row.cached_tokens, row.prefill_tokens, 0),
            row.ms,
        )
    }));
    let errors: Vec<f64> = steps
        .iter()
        .map(|(load, ms)| (model.step_ms(load) / ms - 1.0).abs())
        .collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst = errors.iter().copied().fold(0.0, f64::max);
    println!(
        "{} steps: mean error {mean:.4}, worst {worst:.4}",
        errors.len()
    );
    assert_eq!(errors.len(), 113);
    assert!(mean <= 0.05, "mean error {mean}");
    assert!(worst <= 0.22, "worst error {worst}");
}
