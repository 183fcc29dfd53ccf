//! The instances that are told of a new credential. They are referenced and never changed: Systems Manager should know them and
//! reach them. A host that it does not reach may be started before the next rotation, so that is a note and no error.

use std::collections::BTreeMap;

use aws_sdk_ssm::types::PingStatus;
use contract::Text;

use crate::{
    aws::Aws,
    engine::{
        kind::{Aim, Context, Kind, Stake},
        op::{Address, Op, ResourceKind},
    },
    error::Error,
    read_once,
};

pub(crate) struct Hosts {
    pub(crate) ids: Vec<String>,
    pub(crate) region: String,
}

/// There is nothing to call: hosts are only ever read.
pub(crate) enum Call {}

impl Kind for Hosts {
    type Goal = ();
    /// The state of each instance that Systems Manager knows, by its id.
    type Observed = BTreeMap<String, PingStatus>;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = &[];
    const STAKE: Stake = Stake::Nothing;

    fn address(&self) -> Address {
        Address::new(ResourceKind::Hosts, self.ids.join(", "))
    }

    async fn observe(&self, aws: &Aws) -> Result<Self::Observed, Error> {
        let known = read_once::instances(aws, &self.ids).await?;
        let state = |it: aws_sdk_ssm::types::InstanceInformation| Some((it.instance_id?, it.ping_status?));
        Ok(known.into_iter().filter_map(state).collect())
    }

    fn decide(&self, _: Aim<'_, ()>, _: &Self::Observed) -> Result<Vec<(Op, Call)>, Error> {
        Ok(Vec::new())
    }

    fn note(&self, _: Option<&()>, observed: &Self::Observed) -> Option<Text> {
        let problem = |id: &String| match observed.get(id) {
            Some(PingStatus::Online) => None,
            Some(state) => Some(format!(
                "Systems Manager does not reach host {id} ({}): start the host or its agent before the next rotation",
                state.as_str()
            )),
            None => Some(format!(
                "host {id} is unknown to Systems Manager in {}: the id or the region is wrong, the host is terminated, or it has no \
                 agent or no role for it",
                self.region
            )),
        };
        let problems: Vec<_> = self.ids.iter().filter_map(problem).map(Text::from).collect();
        (!problems.is_empty())
            .then(|| Text::join(problems, "; ").then(". Until then every rotation fails, before it makes a key"))
    }

    async fn run(&self, _: &Context, call: Call) -> Result<(), Error> {
        match call {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_offline_is_told_from_one_that_is_unknown() {
        let ids = ["i-online", "i-offline", "i-unknown"].map(str::to_owned).to_vec();
        let hosts = Hosts { ids, region: "eu-west-1".into() };
        let known = [("i-online", PingStatus::Online), ("i-offline", PingStatus::ConnectionLost)];
        let known = known.map(|(id, state)| (id.to_owned(), state)).into();
        let note = hosts.note(Some(&()), &known).unwrap().to_string();
        assert!(note.contains("does not reach host i-offline (ConnectionLost)"), "{note}");
        assert!(note.contains("host i-unknown is unknown to Systems Manager in eu-west-1"), "{note}");
        assert!(!note.contains("i-online"), "{note}");
    }
}
