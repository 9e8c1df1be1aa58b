//! Whole workflows: four stages (S3) and more and more workers (S4).

use super::{Bench, FOUR_STAGES, Front, of};
use crate::{
    Fault,
    client::post,
    load::{self, Outcome},
    pipeline, plan,
    plan::Plan,
    process,
    stats::percentile,
    targets,
};

impl Bench<'_> {
    pub(super) async fn s3(&mut self) -> Result<(), Fault> {
        let (bound, free) = (self.bound.clone(), self.free.clone());
        let waits = self.chorus_with("chorus bound", &bound)?;
        let starts = self.chorus_with("chorus free", &free)?;
        let bare = self.kept("bare bound", |it| targets::bare(it.mock.address, Some(&bound)))?;
        let runs = self.count(3, 1);
        for (users, [first, total, free_first, free_total]) in [
            (1, ["s3.1.first", "s3.1.total", "s3.free.1.first", "s3.free.1.total"]),
            (8, ["s3.8.first", "s3.8.total", "s3.free.8.first", "s3.free.8.total"]),
        ] {
            let mock = self.mock.address;
            let mut add = |series: [&'static str; 2], target, outcome: &Outcome| {
                self.book.add(series[0], "ms", target, percentile(&outcome.first_token, 0.5));
                self.book.add(series[1], "ms", target, percentile(&outcome.total, 0.5));
            };
            let ideal = pipeline::ideal(mock, &bound, users, runs).await?.well()?;
            add([first, total], "ideal", &ideal);
            add([first, total], "bare", &stages(&bare, users, runs * users).await?);
            add([first, total], "chorus", &workflow(&waits, &bound, users, runs * users).await?);
            let ideal = pipeline::ideal(mock, &free, users, runs).await?.well()?;
            add([free_first, free_total], "ideal", &ideal);
            add(
                [free_first, free_total],
                "chorus",
                &workflow(&starts, &free, users, runs * users).await?,
            );
        }
        self.s3_without_latency().await
    }

    async fn s3_without_latency(&mut self) -> Result<(), Fault> {
        let plan = self.instant.clone();
        let chorus = self.chorus_with("chorus instant", &plan)?;
        let bare = self.kept("bare instant", |it| targets::bare(it.mock.address, Some(&plan)))?;
        let runs = self.count(40, 10) * 32;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let calls = plan.calls() as f64;
        let ideal = pipeline::ideal(self.mock.address, &plan, 32, runs / 32).await?.well()?;
        self.book.add("s3.32.calls", "calls/s", "ideal", ideal.rate() * calls);
        for (target, front) in [("bare", bare), ("chorus", chorus)] {
            let before = process::cpu_seconds(front.pid);
            let outcome = match target {
                "bare" => stages(&front, 32, runs).await?,
                _ => workflow(&front, &plan, 32, runs).await?,
            };
            let cpu = process::cpu_seconds(front.pid) - before;
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            let thousands = outcome.total.len() as f64 * calls / 1000.0;
            self.book.add("s3.32.calls", "calls/s", target, outcome.rate() * calls);
            self.book.add("s3.32.cpu", "CPU s per 1000 calls", target, cpu / thousands);
        }
        Ok(())
    }

    pub(super) async fn s4(&mut self) -> Result<(), Fault> {
        let runs = self.count(3, 1);
        for (count, kept, chorus, ideal) in [
            (1, "chorus of 1", "1", "1 ideal"),
            (8, "chorus of 8", "8", "8 ideal"),
            (64, "chorus of 64", "64", "64 ideal"),
        ] {
            // Without a selector, which nobody asks about a single candidate.
            let plan = Plan::new(FOUR_STAGES, count, false, true);
            let front = self.chorus_with(kept, &plan)?;
            let outcome = pipeline::ideal(self.mock.address, &plan, 1, runs).await?.well()?;
            self.book.add("s4.total", "ms", ideal, percentile(&outcome.total, 0.5));
            let outcome = workflow(&front, &plan, 1, runs).await?;
            self.book.add("s4.total", "ms", chorus, percentile(&outcome.total, 0.5));
        }
        Ok(())
    }
}

/// Runs a workflow of Chorus.
async fn workflow(front: &Front, plan: &Plan, users: usize, runs: usize) -> Result<Outcome, Fault> {
    let tokens = plan::tokens(&plan.writer);
    let run = |runs| load::Run { tokens, ..of(front, "chorus", true, users, runs, None) };
    // Not measured: the connections to the upstream are opened.
    load::closed_loop(&run(users)).await?.well()?;
    load::closed_loop(&run(runs)).await?.well()
}

/// Runs the bare server's stages.
async fn stages(front: &Front, users: usize, runs: usize) -> Result<Outcome, Fault> {
    let request = post(front.address, "/stages", &plan::ask("stages", true));
    let run = |requests| load::Run {
        to: front.address,
        request: request.clone(),
        connections: users,
        requests,
        tokens: None,
        pace: None,
    };
    load::closed_loop(&run(users)).await?.well()?;
    load::closed_loop(&run(runs)).await?.well()
}
