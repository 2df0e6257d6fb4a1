//! A reload: the file is read again and taken over whole or not at all; what it would do is known before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use elb_common::addr::Mac;

use super::containment::EXPORTER;
use super::core::Core;
use super::inherited;
use super::last_good::only_errors;
use super::notify_effects::notify_effects;
use super::publishing::View;
use super::state::drained::{Drained, Missing};
use super::state::stored::other_source;
use super::usable::note_unusable;
use crate::api::shape::reload::{InForce, PlanRequest, ReloadReport, ReloadRequest};
use crate::api::shape::status::timestamp;
use crate::control::change::{self, Effect};
use crate::control::network::client_hops::ClientHops;
use crate::control::network::{NextHop, Unreachable};
use crate::control::reconcile::{ReconcileInput, Renamed};
use crate::health::MemberHealth;
use crate::kernel::bpf::{Program, Tracer};
use crate::model::time::{Now, Time};
use crate::model::{Member, Model, Pool};
use crate::source::file::{self, Config, Errors, Piece, SourceText};

/// Lines of a reload's effects in the log.
const LOGGED: usize = 100;
/// The longest text of a store that is written down before it is in force, in case the store is damaged at the next
/// start. Where that takes long, it is done meanwhile: then the last second of changes may be missing in it.
const KEPT_AT_ONCE: usize = 256 << 10;
/// How long next hops of new members may take before a reload is in force without them.
const RESOLVE: Duration = Duration::from_secs(2);

/// What came of a reload.
pub(super) struct Reloaded {
    pub(super) report: ReloadReport,
    /// The tracer of the maps, if these are others now.
    pub(super) tracer: Option<Tracer>,
}

impl Core {
    /// Reads the file again. It must be right throughout and leave something to serve: otherwise
    /// everything stays as it is. The interfaces carry this program.
    pub(super) fn reload(
        &mut self,
        now: Now,
        program: Program,
        request: ReloadRequest,
        is_awaited: bool,
    ) -> Reloaded {
        let revision = self.file.revision();
        let (text, (config, errors)) = match self.file.read() {
            Ok(source) => (source.whole(), self.parsed(&source, now.time)),
            Err(errors) => (String::new(), (None, errors)),
        };
        let (mut report, config) = self.judge(config, errors, request);
        // The audit says what a commit of the store changed; what it does to rings is not asked of each.
        if let Some(config) = config.as_ref().filter(|_| is_awaited || !self.file.is_stored()) {
            report.effects = self.effects(config);
        }
        // What it needs to be saved is saved before it is in force, or it is not in force.
        let wanted = config.as_ref().filter(|_| report.accepted);
        if let Some(Err(why)) = wanted.cloned().map(|config| self.reserve(&config)) {
            report.accepted = false;
            report.refused.push(why);
        }
        let Some(config) = config.filter(|_| report.accepted) else {
            self.reject(&report);
            self.file.note_taken(revision, Some(self.file.problems.join("; ")));
            self.note_reached();
            return Reloaded { report, tracer: None };
        };
        if !self.file.is_stored() {
            // What is odd in a store is said once for each change of it, which is too often.
            report.errors.log();
        }
        self.file.note_taken(revision, None);
        self.file.take_subnets(&config);
        self.file.take(text);
        let tracer = self.take_over(config, now, program);
        for effect in report.effects.iter().take(LOGGED) {
            tracing::info!("reload: {effect}");
        }
        if report.effects.len() > LOGGED {
            tracing::info!("reload: and {} more", report.effects.len() - LOGGED);
        }
        tracing::info!("the configuration is accepted");
        let problems = [&self.file.problems[..], &self.serving.left_out[..]].concat();
        let generation = self.file.generation;
        Reloaded { report: ReloadReport { problems, generation, ..report }, tracer }
    }

    /// What a file asks for: as it was found when the reload was prepared, if nothing is another since.
    fn parsed(&mut self, source: &SourceText, now: Time) -> (Option<Config>, Errors) {
        match self.file.prepared.take() {
            Some(prepared) if prepared.is_of(source, now, || self.host()) => prepared.result,
            Some(_) | None => file::parse_source(source, &self.host()),
        }
    }

    /// What a reload with such a file would do.
    pub(super) fn plan(&self, request: &PlanRequest) -> ReloadReport {
        let source = SourceText::of_files(&request.name, &request.text, &request.files);
        let source = self.file.complete(source);
        let (config, errors) = file::parse_source(&source, &self.host());
        self.judge_with_effects(config, errors)
    }

    /// What a reload would do if the store held this.
    pub(super) fn plan_stored(&self, pieces: Vec<Arc<Piece>>) -> ReloadReport {
        let (config, errors) = match self.file.peek_with(pieces) {
            Ok(source) => file::parse_source(&source, &self.host()),
            Err(errors) => (None, errors),
        };
        self.judge_with_effects(config, errors)
    }

    /// What the configuration waits for until all of it is in force.
    pub(super) fn in_force(&self, now: Time) -> InForce {
        let is_recent = now.since(self.file.loaded.time) < RESOLVE;
        let resolves = |address: IpAddr| match self.network.next_hop(address) {
            Err(Unreachable::Unknown) => true,
            Err(Unreachable::NoNeighbor { .. }) => is_recent,
            Ok(_) | Err(_) => false,
        };
        let served = self
            .config
            .model
            .pools()
            .iter()
            .filter(|pool| self.config.model.listeners_of(&pool.name).next().is_some());
        let mut waiting = Vec::new();
        for pool in served {
            let known = |member: &&Member| {
                let health = self.probes.members.health(pool.id, member.socket());
                health.is_some_and(MemberHealth::is_undecided)
            };
            let willing = || pool.members.iter().filter(|member| member.weight.get() > 0);
            let (first, way) = (
                willing().filter(known).count(),
                willing().filter(|m| resolves(m.address)).count(),
            );
            if first > 0 {
                waiting.push(format!(
                    "pool {:?}: the first probe of {first} members",
                    pool.name.as_str()
                ));
            }
            if way > 0 {
                waiting
                    .push(format!("pool {:?}: the next hop of {way} members", pool.name.as_str()));
            }
        }
        InForce {
            waiting,
            problems: [&self.file.problems[..], &self.serving.left_out[..]].concat(),
            ..InForce::default()
        }
    }

    /// Whether a file may take the place of the present one, and what it does.
    fn judge(
        &self,
        config: Option<Config>,
        errors: Errors,
        request: ReloadRequest,
    ) -> (ReloadReport, Option<Config>) {
        let mut errors = errors;
        if let Some(config) = &config {
            note_unusable(config, &self.file.path, &mut errors);
            for (balancer, what) in self.file.left_subnets(config) {
                const FIX: &str = "give it another address, or leave the subnet as it was";
                errors.warn(&self.file.path, &balancer, what, FIX);
            }
        }
        let Some(config) = config.filter(|_| !errors.has_errors()) else {
            let generation = self.file.generation;
            return (ReloadReport { errors, generation, ..ReloadReport::default() }, None);
        };
        // What goes from a store was taken away by a request for that.
        let may_be_empty = request.allow_empty || config.agent.allow_empty || self.file.is_stored();
        let old = &self.config.model;
        let mut refused =
            if may_be_empty { Vec::new() } else { change::taken_away(old, &config.model) };
        refused.extend(other_source(&self.file, &config));
        let (accepted, generation) = (refused.is_empty(), self.file.generation);
        let report =
            ReloadReport { accepted, errors, refused, generation, ..ReloadReport::default() };
        (report, Some(config))
    }

    /// As [`Self::judge`], with what it does.
    fn judge_with_effects(&self, config: Option<Config>, errors: Errors) -> ReloadReport {
        let (report, config) = self.judge(config, errors, ReloadRequest::default());
        let effects = config.map(|config| self.effects(&config)).unwrap_or_default();
        ReloadReport { effects, ..report }
    }

    /// What another configuration does to traffic, once its new members serve.
    fn effects(&self, config: &Config) -> Vec<Effect> {
        let model = &config.model;
        let mut trial = self.serving.reconciler.clone();
        let renamed = trial.follow_names(model);
        let drained = self.drained_in(model, &renamed);
        let expected = Expected { view: self.view(), renamed: &renamed, drained: &drained };
        let desired = trial.reconcile(model, &expected);
        let mut effects = change::effects(&self.config.model, model, &renamed);
        // Another ring is no ring that moves: connections live on the former one.
        let moved = desired.moved.iter().filter(|(_, diff)| diff.moved > 0);
        effects.extend(moved.filter_map(|(pool, diff)| {
            let before = Renamed::before(&renamed, *pool);
            let now = self.serving.reconciler.assignments.pools.get(&before)?;
            let then = trial.assignments.pools.get(pool)?;
            let effect = || Effect::moved(&then.name, diff.share(), diff.minimum_share());
            (now.ring == then.ring).then(effect)
        }));
        effects.extend(notify_effects(&self.config.notify, &config.notify));
        effects
    }

    fn reject(&mut self, report: &ReloadReport) {
        let loaded = timestamp(self.file.loaded.wall);
        let what = format!("the configuration is rejected, the one of {loaded} is still served");
        report.errors.log();
        report.refused.iter().for_each(|refused| tracing::error!("{refused}"));
        tracing::error!("{what}");
        self.file.is_wrong = true;
        let errors = only_errors(&report.errors);
        self.file.problems =
            std::iter::once(what).chain(report.refused.iter().cloned()).chain(errors).collect();
    }

    /// The members that are drained once another model takes the place of the present one.
    fn drained_in(&self, model: &Model, renamed: &[Renamed]) -> Drained {
        let old = &self.config.model;
        let had = |pool, member| {
            let pool = old.pool_with(Renamed::before(renamed, pool));
            pool.is_some_and(|pool| pool.members.iter().any(|one| one.socket() == member))
        };
        self.drains.drained.followed(model, renamed, had, Missing::Forgotten)
    }

    /// Serves another configuration from now on.
    fn take_over(&mut self, config: Config, now: Now, program: Program) -> Option<Tracer> {
        self.file.problems.clear();
        self.file.is_wrong = false;
        let tracer = self.resize(&config.agent, &config.model, program);
        self.take_interfaces(&config.agent);
        self.config.agent.allow_empty = config.agent.allow_empty;
        // It is in the checks of the model.
        self.config.agent.check_user = config.agent.check_user.clone();
        self.faults.idle_tasks.remove(EXPORTER);
        self.config.flow_log = config.flow_log.clone();
        self.config.sflow = config.sflow.clone();
        self.metering.take_settings(&config.metrics);
        self.config.metrics = config.metrics.clone();
        if let (Some(own), Some(api)) = (&mut self.config.api, &config.api) {
            own.subnets.clone_from(&api.subnets);
        }
        for (table, is_other) in
            [("agent", config.agent != self.config.agent), ("api", config.api != self.config.api)]
        {
            if is_other {
                let what = format!(
                    "[{table}] changed: restart the agent for that; the rest is taken over"
                );
                tracing::warn!("{what}");
                self.file.problems.push(what);
            }
        }
        self.journal.webhooks.follow(&config.notify);
        self.config.notify = config.notify;
        let renamed = self.follow_names(&config.model);
        self.drains.drained = self.drained_in(&config.model, &renamed);
        let old = std::mem::replace(&mut self.config.model, config.model);
        let model = &self.config.model;
        let mut known = inherited::verdicts(&old, model, &renamed, &self.probes.members.saved());
        self.file.loaded = now;
        self.probes.members.follow(model, &mut known, now);
        self.journal.bound.follow(model);
        self.look_again_for_own_addresses();
        self.keep_drained();
        self.file.is_kept = false;
        if !self.file.is_stored() || self.file.text.len() <= KEPT_AT_ONCE {
            self.keep_configuration();
        }
        self.publish();
        self.follow_flow_log();
        self.save();
        tracer
    }
}

/// The world once a reload is in force: what is not known of members, is well.
struct Expected<'a> {
    view: View<'a>,
    renamed: &'a [Renamed],
    drained: &'a Drained,
}

impl Expected<'_> {
    /// What is known of the health of a member, also where the pool has another id now.
    fn health(&self, pool: &Pool, member: &Member) -> Option<&MemberHealth> {
        let pool = Renamed::before(self.renamed, pool.id);
        self.view.members.health(pool, member.socket())
    }
}

impl ReconcileInput for Expected<'_> {
    fn serves(&self, pool: &Pool, member: &Member) -> bool {
        self.health(pool, member).is_none_or(|health| health.serves() || health.is_undecided())
    }

    fn is_drained(&self, _: &Pool, member: &Member) -> bool {
        self.drained.has(member)
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        const SOME: Mac = Mac::new([0; 6]);
        match self.view.network.next_hop(address) {
            Ok(hop) => Some(hop),
            Err(Unreachable::Unknown) => Some(NextHop {
                ifindex: 0,
                mac: SOME,
                source_mac: SOME,
                source: None,
                mtu: 1500,
                on_link: true,
            }),
            Err(_) => None,
        }
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        self.view.interfaces()
    }

    fn client_hops(&self) -> Arc<ClientHops> {
        self.view.client_hops()
    }

    fn now(&self) -> u32 {
        self.view.now()
    }
}
