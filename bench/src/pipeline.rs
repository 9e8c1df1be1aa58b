//! The four stages as an ideal client would run them: it asks the upstream itself, over
//! connections that are open already, and does nothing else. Nobody can be faster.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::future::{join, try_join_all};
use tokio::time::Instant;

use crate::{
    Fault,
    client::{Connection, Reply, post},
    load::Outcome,
    plan::{Plan, ask},
};

/// One user of the workflow, and what it sends.
struct User {
    plan: Plan,
    analyzer: Bytes,
    workers: Vec<Bytes>,
    selector: Option<Bytes>,
    writer: Bytes,
    main: Connection,
    others: Vec<Connection>,
}

/// So many users, each of whom runs the plan so often.
pub(crate) async fn ideal(
    to: SocketAddr,
    plan: &Plan,
    users: usize,
    runs: usize,
) -> Result<Outcome, Fault> {
    let users = try_join_all((0..users).map(|_| User::new(to, plan))).await?;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for mut user in users {
        tasks.push(tokio::spawn(async move {
            let mut outcome = Outcome::default();
            for _ in 0..runs {
                outcome.take(user.run().await, None, None);
            }
            outcome
        }));
    }
    let mut outcome = Outcome::default();
    for task in tasks {
        outcome.join(task.await?);
    }
    outcome.wall = started.elapsed();
    Ok(outcome)
}

impl User {
    async fn new(to: SocketAddr, plan: &Plan) -> Result<Self, Fault> {
        let request = |model: &str, stream| post(to, "/v1/chat/completions", &ask(model, stream));
        Ok(Self {
            analyzer: request(&plan.analyzer, false),
            workers: plan.workers.iter().map(|model| request(model, true)).collect(),
            selector: plan.selector.as_deref().map(|model| request(model, false)),
            writer: request(&plan.writer, true),
            main: Connection::open(to).await?,
            others: try_join_all(plan.workers.iter().map(|_| Connection::open(to))).await?,
            plan: plan.clone(),
        })
    }

    async fn run(&mut self) -> Result<Reply, Fault> {
        let sent = Instant::now();
        let calls = self.others.iter_mut().zip(&self.workers);
        let drafts = try_join_all(calls.map(|(connection, body)| connection.exchange(body)));
        if self.plan.dependent {
            self.main.exchange(&self.analyzer).await?;
            drafts.await?;
        } else {
            let (analysis, drafts) = join(self.main.exchange(&self.analyzer), drafts).await;
            analysis?;
            drafts?;
        }
        if let Some(selector) = &self.selector {
            self.main.exchange(selector).await?;
        }
        let answer = self.main.exchange(&self.writer).await?;
        Ok(Reply { sent, ..answer })
    }
}
