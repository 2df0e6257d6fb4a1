//! Members that are drained by command, and how they follow a model: under other names, to other pools, and
//! with ids that the file gives them later.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::agent::saved::SavedDrain;
use crate::control::reconcile::Renamed;
use crate::model::{Member, Model, Pool, ResourceId};

/// Members that are drained, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::agent) struct Drained(BTreeMap<ResourceId, SavedDrain>);

/// What is done with drained members that a model has nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Missing {
    /// They are kept: a part of the file may be missing for now.
    Kept,
    /// They are forgotten.
    Forgotten,
}

impl FromIterator<SavedDrain> for Drained {
    fn from_iter<I: IntoIterator<Item = SavedDrain>>(members: I) -> Self {
        Self(members.into_iter().map(|one| (one.id, one)).collect())
    }
}

impl Drained {
    /// Whether a member is drained.
    pub(in crate::agent) fn has(&self, member: &Member) -> bool {
        !self.0.is_empty() && self.0.contains_key(&member.id)
    }

    /// All of them.
    pub(in crate::agent) fn members(&self) -> impl Iterator<Item = &SavedDrain> {
        self.0.values()
    }

    /// A member of a pool is drained from now on.
    pub(in crate::agent) fn start(&mut self, pool: &Pool, member: &Member) {
        self.0.insert(member.id, drained(pool, member));
    }

    /// A member is not drained any more.
    pub(in crate::agent) fn cancel(&mut self, member: ResourceId) {
        self.0.remove(&member);
    }

    /// The drained members in another model, where pools got other ids. One that left its pool, which `had`
    /// it as others did, is drained in the pools that it came to.
    pub(in crate::agent) fn followed(
        &self,
        model: &Model,
        renamed: &[Renamed],
        had: impl Fn(ResourceId, SocketAddr) -> bool,
        missing: Missing,
    ) -> Self {
        if self.0.is_empty() {
            return Self::default();
        }
        let all = model.pools().iter();
        let all = all.flat_map(|pool| pool.members.iter().map(move |one| (one.id, (pool, one))));
        let by_id: HashMap<ResourceId, (&Pool, &Member)> = all.collect();
        let mut followed = Self::default();
        for one in self.0.values() {
            let pool = model.pool_with(Renamed::now(renamed, one.pool));
            let same = || pool.and_then(|pool| Some((pool, member(pool, one.member)?)));
            if let Some((pool, member)) = by_id.get(&one.id).copied().or_else(same) {
                followed.start(pool, member);
                continue;
            }
            let came = model.pools().iter().filter(|pool| !had(pool.id, one.member));
            let came = came.filter_map(|pool| Some((pool, member(pool, one.member)?)));
            let before = followed.0.len();
            came.for_each(|(pool, member)| followed.start(pool, member));
            if followed.0.len() == before && missing == Missing::Kept {
                followed.0.insert(one.id, *one);
            }
        }
        followed
    }
}

fn drained(pool: &Pool, member: &Member) -> SavedDrain {
    SavedDrain { id: member.id, pool: pool.id, member: member.socket() }
}

fn member(pool: &Pool, socket: SocketAddr) -> Option<&Member> {
    pool.members.iter().find(|member| member.socket() == socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file;

    const ID: &str = "id = \"1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b\"\n";

    /// Members with keys.
    type Members<'a> = &'a [(u8, &'a str)];

    /// Pools with keys and members.
    fn model(pools: &[(&str, &str, Members<'_>)]) -> Model {
        let mut text = "[agent]\ninterfaces = [\"eth0\"]\n".to_owned();
        for (name, keys, members) in pools {
            text += &format!(
                "[[pool]]\nname = \"{name}\"\n{keys}protocol = \"TCP\"\nforwarding = \"ipip\"\n"
            );
            for (n, keys) in *members {
                text += &format!(
                    "[[pool.member]]\naddress = \"10.0.0.{n}\"\n{keys}protocol_port = 80\n"
                );
            }
        }
        file::parse("test", &text).unwrap().model
    }

    /// The first member of the first pool is drained.
    fn first(model: &Model) -> Drained {
        let pool = &model.pools()[0];
        [drained(pool, &pool.members[0])].into_iter().collect()
    }

    /// Who is drained in the second model if that member is in the first; without numbers, so that only what
    /// pools there were is known.
    fn names(before: &Model, after: &Model) -> Vec<String> {
        let had = |pool, member: SocketAddr| {
            let pool = before.pool_with(pool);
            pool.is_some_and(|pool| super::member(pool, member).is_some())
        };
        let all = first(before).followed(after, &[], had, Missing::Forgotten);
        let name = |pool: &Pool, one: &Member| format!("{}/{}", pool.name, one.address);
        let pools = after.pools().iter();
        let there = pools.flat_map(|pool| {
            let here = pool.members.iter().filter(|one| all.has(one));
            here.map(move |one| name(pool, one)).collect::<Vec<_>>()
        });
        there.collect()
    }

    #[test]
    fn a_drained_member_stays_drained_whatever_is_called_otherwise() {
        let plain: Members<'_> = &[(11, ""), (12, "")];
        let before = model(&[("web", "", plain)]);
        assert_eq!(names(&before, &before), ["web/10.0.0.11"]);
        assert_eq!(names(&before, &model(&[("blue", "", plain)])), ["blue/10.0.0.11"]);
        assert_eq!(names(&before, &model(&[("web", ID, plain)])), ["web/10.0.0.11"]);
        let renamed: Members<'_> = &[(12, ""), (11, "name = \"other\"\n")];
        assert_eq!(names(&before, &model(&[("web", "", renamed)])), ["web/10.0.0.11"]);
        let with_id: Members<'_> = &[(11, ID), (12, "")];
        assert_eq!(names(&before, &model(&[("web", "", with_id)])), ["web/10.0.0.11"]);
        assert_eq!(names(&before, &model(&[("web", "", &[(12, "")])])), Vec::<String>::new());
    }

    /// The machine was replaced by another one, which is the same member.
    #[test]
    fn a_member_with_an_id_stays_drained_at_another_address_and_in_another_pool() {
        let before = model(&[("web", "", &[(11, ID)])]);
        assert_eq!(
            names(&before, &model(&[("web", "", &[(11, ""), (21, ID)])])),
            ["web/10.0.0.21"]
        );
        let moved = model(&[("web", "", &[(11, "")]), ("api", "", &[(21, ID)])]);
        assert_eq!(names(&before, &moved), ["api/10.0.0.21"]);
    }

    #[test]
    fn a_drained_member_is_drained_where_it_goes_and_nowhere_else() {
        let both = |first: &str, here: Members<'_>| {
            model(&[(first, "", here), ("other", "", &[(11, "")])])
        };
        let before = both("blue", &[(11, ""), (12, "")]);
        assert_eq!(names(&before, &both("green", &[(11, ""), (12, "")])), ["green/10.0.0.11"]);
        assert_eq!(names(&before, &both("green", &[(12, "")])), Vec::<String>::new());
        let stays = model(&[("blue", "", &[(11, "")]), ("green", "", &[(11, "")])]);
        assert_eq!(names(&before, &stays), ["blue/10.0.0.11"], "it did not leave");
    }

    #[test]
    fn a_pool_with_another_id_has_the_same_drained_members() {
        let before = model(&[("web", "", &[(11, ""), (12, "")])]);
        let after = model(&[("blue", "", &[(11, ""), (13, "")])]);
        let renamed = Renamed { from: before.pools()[0].id, to: after.pools()[0].id };
        // Nothing else says that the pool is new.
        let all = first(&before).followed(&after, &[renamed], |_, _| true, Missing::Forgotten);
        assert_eq!(all, first(&after));
    }

    #[test]
    fn at_a_start_a_part_of_the_file_may_be_missing() {
        let before = model(&[("web", "", &[(11, "")])]);
        let all = first(&before);
        let none = Model::default();
        assert_eq!(all.followed(&none, &[], |_, _| true, Missing::Kept), all);
        assert_eq!(all.followed(&none, &[], |_, _| true, Missing::Forgotten), Drained::default());
    }
}
