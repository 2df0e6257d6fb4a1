//! What is known of the ways to clients, and what of it is out of date.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Mirror;
use crate::control::network::{ClientWays, Neighbor, WantedAddresses};
use crate::kernel::net::follow::tables::Tables;

/// Ways to clients, where they are followed.
#[derive(Debug)]
pub(super) struct Clients {
    /// Interfaces that carry the program.
    carrying: BTreeSet<u32>,
    /// The kernel's tables as they were last listed.
    tables: Option<Tables>,
    /// Whether the tables may be others by now.
    is_stale: bool,
    /// Whether something else may follow from them.
    is_doubted: bool,
}

impl Mirror {
    /// Follows ways to clients from now on, or no longer.
    pub(super) fn want_clients(&mut self, wanted: &WantedAddresses) {
        let Some(carrying) = &wanted.clients else {
            self.clients = None;
            self.changed |= self.known.clients.take().is_some();
            return;
        };
        let clients = self.clients.get_or_insert_with(|| Clients {
            carrying: BTreeSet::new(),
            tables: None,
            is_stale: true,
            is_doubted: false,
        });
        clients.carrying.clone_from(carrying);
    }

    /// Whether the tables are to be listed.
    pub(in crate::kernel::net::follow) fn has_stale_tables(&self) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.is_stale)
    }

    /// The tables are being listed: what changes from now on may be missing in the listing.
    pub(in crate::kernel::net::follow) fn lists_tables(&mut self) {
        if let Some(clients) = &mut self.clients {
            clients.is_stale = false;
        }
    }

    /// The tables are these.
    pub(in crate::kernel::net::follow) fn take_tables(&mut self, tables: Tables) {
        let Some(clients) = &mut self.clients else { return };
        if clients.tables.as_ref() != Some(&tables) {
            clients.tables = Some(tables);
            self.rerouted = true;
        }
    }

    /// Whether the ways to clients may be others than those known.
    pub(in crate::kernel::net::follow) fn has_doubted_clients(&self) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.is_doubted && clients.tables.is_some())
    }

    /// Finds the ways to clients by what is known now.
    pub(in crate::kernel::net::follow) fn find_clients(&mut self) {
        let Some(clients) = &mut self.clients else { return };
        let Some(tables) = &clients.tables else { return };
        clients.is_doubted = false;
        let known = self.table.iter().filter_map(|(neighbor, entry)| Some((*neighbor, entry.mac?)));
        let neighbors = known.filter(|((ifindex, _), _)| clients.carrying.contains(ifindex));
        let ways = tables.routes.ways(&self.known, &clients.carrying, neighbors);
        let ways = ClientWays { other_rules: tables.other_rules.clone(), ..ways };
        if self.known.clients.as_deref() != Some(&ways) {
            self.known.clients = Some(Arc::new(ways));
            self.changed = true;
        }
    }

    /// The kernel's tables may be others by now.
    pub(super) fn doubt_tables(&mut self) {
        if let Some(clients) = &mut self.clients {
            clients.is_stale = true;
        }
    }

    /// Something else may follow from the tables.
    pub(super) fn doubt_clients(&mut self) {
        if let Some(clients) = &mut self.clients {
            clients.is_doubted = true;
        }
    }

    /// A neighbour came, changed or went, who may be a client.
    pub(super) fn doubt_client(&mut self, (ifindex, _): Neighbor) {
        if let Some(clients) = &mut self.clients {
            let tables = clients.tables.as_ref();
            let is_on_link = || tables.is_some_and(|tables| tables.routes.is_on_link(ifindex));
            clients.is_doubted |= clients.carrying.contains(&ifindex) && is_on_link();
        }
    }

    /// The gateways that clients are behind.
    pub(super) fn client_gateways(&self) -> BTreeSet<Neighbor> {
        let Some(Clients { carrying, tables: Some(tables), .. }) = &self.clients else {
            return BTreeSet::new();
        };
        tables.routes.gateways(&self.known, carrying)
    }
}
