//! `GET /metrics`: what was counted, and what is so just now, in Prometheus' form.

use axum::{
    Extension,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use metrics::{Label, counter, gauge};

use super::{
    App,
    caller::Caller,
    error::AppError,
    metrics::{label, names, of},
    ops::admins_only,
};
use crate::{llm::Phase, types::process};

/// `GET /metrics`.
///
/// # Errors
/// 403 for a client that is no admin.
pub(super) async fn metrics(
    app: App,
    Extension(caller): Extension<Caller>,
) -> Result<Response, AppError> {
    admins_only(&caller)?;
    let form = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, form)], app.metrics.text(|| at_present(&app))).into_response())
}

/// What is so just now.
fn at_present(app: &App) {
    let set = |name: &'static str, labels: Vec<Label>, value: f64| gauge!(name, labels).set(value);
    set(names::BUILD, vec![label("version", env!("CARGO_PKG_VERSION"))], 1.0);
    set(names::RUNS_IN_FLIGHT, Vec::new(), whole(app.runs.count_in_flight()));
    set(names::MEMORY_TAKEN, Vec::new(), whole(app.engine.memory().taken()));
    set(names::MEMORY_LIMIT, Vec::new(), whole(app.engine.memory().most()));
    set(names::STARTED, Vec::new(), app.started.as_duration().as_secs_f64());
    let (reloads, is_good) = {
        let reloads = app.reloads();
        (reloads.reloads, reloads.last_error.is_none())
    };
    counter!(names::RELOADS).absolute(reloads);
    set(names::CONFIG_IS_GOOD, Vec::new(), f64::from(u8::from(is_good)));
    counter!(names::LOG_LINES_DROPPED).absolute(process::DROPPED_LOG_LINES.get());
    counter!(names::OUT_OF_RESOURCES).absolute(process::SHORTAGES.get());
    for model in app.engine.health() {
        for endpoint in model.endpoints {
            let labels = || {
                vec![
                    label("gen_ai_request_model", of(&model.model)),
                    label("server_address", of(&endpoint.endpoint)),
                ]
            };
            set(names::ENDPOINT_UP, labels(), f64::from(u8::from(endpoint.state == Phase::Closed)));
            set(names::ENDPOINT_IN_FLIGHT, labels(), whole(endpoint.in_flight));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^52")]
fn whole(value: usize) -> f64 {
    value as f64
}
