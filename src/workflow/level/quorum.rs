//! The workers that are waited for: quorum and grace, their deadline, the analyzer's choice.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    deadline::Deadline,
    phase::Phase,
    state::{LevelState, MemberState, Running},
};
use crate::{
    config::Member,
    workflow::{
        Event, StageKind,
        critical_path::{Chain, Link},
        step::{Failure, MemberOutcome, Overrides, Step, Steps, is_for_good, ready, report},
        trace::{CallRecord, ErrorRecord, OverridesRecord, StageStatus, WorkerRecord},
    },
};

impl LevelState {
    /// What the members' endings bring about: the end of the drafting, once, or before it the end of
    /// the grace that the others have.
    pub(super) fn drafting(&mut self) -> Option<Steps> {
        let next = match self.phase {
            Phase::Drafting | Phase::Grace => Phase::Deciding,
            Phase::Stopping => Phase::Stopped,
            Phase::Deciding | Phase::Stopped | Phase::Over => return None,
        };
        if !self.members.iter().any(|member| matches!(member, MemberState::Running(_))) {
            self.phase = next;
            return Some(ready(Step::Judge));
        }
        let rule = self.plan.policy.quorum.is_some() || self.lowered.is_some();
        if !rule || self.phase != Phase::Drafting || self.successes() < self.needed() {
            return None;
        }
        self.phase = Phase::Grace;
        let over = Deadline::after(self.plan.policy.grace)?;
        Some(self.ends_with_level(over.then(Step::GraceOver)))
    }

    pub(super) fn successes(&self) -> usize {
        let answered = |member: &&MemberState| matches!(member, MemberState::Ended(outcome) if outcome.result.is_ok());
        self.members.iter().filter(answered).count()
    }

    /// Whether it could go on with the answers that it has.
    pub(super) fn has_enough(&self) -> bool {
        self.successes() >= self.plan.policy.min_success
    }

    /// How many answers are enough: the quorum of the members that can still answer, and at least
    /// `min_success`.
    pub(super) fn needed(&self) -> usize {
        let able = self.members.iter().filter(|member| can_answer(member)).count();
        let planned = self.plan.policy.quorum.map_or(able, |quorum| quorum.of(able));
        let needed = self.lowered.map_or(planned, |quorum| quorum.of(able).min(planned));
        needed.max(self.plan.policy.min_success)
    }

    /// Cancels whoever has not answered within the grace.
    pub(super) fn cancel_stragglers(&mut self) -> Vec<Event> {
        self.end_running(|_, running| match (&running.stop, running.tracker.has_begun()) {
            (Some(stop), true) => {
                // It ends at once, and its record comes as its last step.
                stop.send_replace(true);
                None
            }
            (Some(_), false) | (None, _) => Some((StageStatus::Cut, None)),
        })
    }

    /// Ends whoever is at work when the workers' time is over. A nested level that has begun has
    /// a deadline of its own that is no later, and may yet bring what it has.
    pub(super) fn end_workers(&mut self) -> Vec<Event> {
        let Some(deadline) = self.window.workers else { return Vec::new() };
        let mut overdue = false;
        let events = self.end_running(|member, running| {
            overdue = true;
            let busy_level = running.stop.is_some() && running.tracker.has_begun();
            (!busy_level).then(|| (StageStatus::Timeout, Some((deadline, model_of(member)))))
        });
        self.overdue |= overdue;
        events
    }

    /// Ends the members at work for which there is a status, all in the same moment.
    fn end_running(
        &mut self,
        mut how: impl FnMut(&Member, &Running) -> Option<(StageStatus, Option<(Deadline, String)>)>,
    ) -> Vec<Event> {
        let mut ended = Vec::new();
        for (index, member) in self.plan.members.iter().enumerate() {
            let Some(MemberState::Running(running)) = self.members.get(index) else { continue };
            let Some((status, deadline)) = how(member, running) else { continue };
            running.canceller.cancel();
            let error = deadline.map(|(deadline, model)| deadline.error(&model));
            let call = running.tracker.end(status, error.as_ref().map(ErrorRecord::from));
            let chain = self.link(StageKind::Worker, member.name(), running);
            ended.push((index, member.name().to_owned(), call, error, chain));
        }
        let mut events = Vec::with_capacity(ended.len());
        for (index, name, call, error, chain) in ended {
            let chain = chain.or_else(|| self.idle(&name));
            let record = WorkerRecord { name, call, response: None, nested: None };
            match error {
                Some(error) => {
                    let result = Err(Failure::of(&error));
                    let outcome = MemberOutcome { record, result, overcome: Vec::new(), chain };
                    events.push(self.member_ended(index, outcome));
                }
                None => {
                    if self.waits_for_stragglers() {
                        self.decides(chain);
                    }
                    events.push(self.leave_out(index, record, None));
                }
            }
        }
        events
    }

    /// Whether those that are cancelled were waited for: not after the quorum, where there is no
    /// grace. A level that is stopped leaves it to the one above to say what was waited for there.
    pub(super) fn waits_for_stragglers(&self) -> bool {
        self.is_stopping() || !self.plan.policy.grace.is_zero()
    }

    /// A stage ended that was waited for; one that had not begun decided nothing.
    pub(super) fn decides(&mut self, chain: Chain) {
        self.chain = chain.or_else(|| self.chain.take());
    }

    /// The chain of a member that the level ends before it could begin: it waited for an analysis
    /// all the time.
    pub(super) fn idle(&self, name: &str) -> Chain {
        let waited = self.started.elapsed();
        Some(Arc::new(Link {
            stage: StageKind::Worker,
            name: name.to_owned(),
            level: self.path.clone(),
            began: self.started,
            ended: Instant::now(),
            waited,
            before: self.before.clone(),
        }))
    }

    /// Takes a member out that is neither an answer nor a failure.
    fn leave_out(&mut self, index: usize, record: WorkerRecord, detail: Option<&str>) -> Event {
        let CallRecord { status, duration_ms, .. } = record.call;
        let name = record.name.clone();
        if let Some(member) = self.members.get_mut(index) {
            *member = MemberState::Out(Box::new(record));
        }
        let detail = detail.map(str::to_owned);
        report(StageKind::Worker, &name, status, duration_ms, detail, false)
    }

    /// No member is asked.
    pub(super) fn nobody_drafts(&mut self) {
        self.phase = Phase::Deciding;
        for index in 0..self.members.len() {
            let name = self.member_name(index);
            let call = CallRecord { status: StageStatus::Skipped, ..CallRecord::default() };
            let record = WorkerRecord { name, call, response: None, nested: None };
            if let Some(member) = self.members.get_mut(index) {
                *member = MemberState::Out(Box::new(record));
            }
        }
    }

    /// Applies what the analyzer chose, where it may: fewer workers, but no fewer than have to
    /// succeed, none that has begun; and a lower quorum.
    pub(super) fn choose(&mut self, chosen: Option<&Overrides>) -> Vec<Event> {
        let Some(Overrides { workers, quorum }) = chosen.filter(|_| self.plan.policy.overrides)
        else {
            return Vec::new();
        };
        let before = self.needed();
        let mut events = Vec::new();
        if !workers.is_empty() && workers.len() >= self.plan.policy.min_success {
            for index in 0..self.members.len() {
                let name = self.member_name(index);
                let Some(MemberState::Running(running)) = self.members.get(index) else { continue };
                if workers.contains(&name) || running.tracker.has_begun() {
                    continue;
                }
                running.canceller.cancel();
                let message = "the analyzer chose other workers for this task".to_owned();
                let error = ErrorRecord { code: "not_chosen", message };
                let call = running.tracker.end(StageStatus::Skipped, Some(error));
                let record = WorkerRecord { name, call, response: None, nested: None };
                events.push(self.leave_out(index, record, Some("not_chosen")));
            }
        }
        self.lowered = *quorum;
        let needed = self.needed();
        let kept = if events.is_empty() { Vec::new() } else { workers.clone() };
        let lowered = (quorum.is_some() && needed < before).then_some(needed);
        if let Some(analyzer) = &mut self.analyzer
            && (!kept.is_empty() || lowered.is_some())
        {
            analyzer.overrides = Some(OverridesRecord { workers: kept, quorum: lowered });
        }
        events
    }
}

/// Whether a member has answered or may yet: not one that was left out or failed for good. One that
/// failed in another way stays in the count.
fn can_answer(member: &MemberState) -> bool {
    match member {
        MemberState::Empty | MemberState::Running(_) => true,
        MemberState::Out(_) => false,
        MemberState::Ended(outcome) => match &outcome.result {
            Ok(_) => true,
            Err(failure) => {
                let all_for_good = outcome.overcome.iter().all(|error| is_for_good(error.kind));
                !(failure.is_for_good() && all_for_good)
            }
        },
    }
}

/// The model that an error about a member names.
pub(super) fn model_of(member: &Member) -> String {
    match member {
        Member::Leaf(leaf) => leaf.stage.model.clone(),
        Member::Nested(plan) => plan.name.clone(),
    }
}
