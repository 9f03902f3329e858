//! Which endpoints there are: method, path, what it takes, and the function that does it.

use crate::error::Answer;
use crate::params::Params;
use crate::resources;
use crate::space::Space;

/// A request to an endpoint, checked.
#[derive(Debug)]
pub(crate) struct Call {
    /// What stands in the path where the endpoint has `{…}`.
    pub(crate) ids: Vec<String>,
    pub(crate) params: Params,
    /// Whether a publishable key asks, which sees and may do less.
    pub(crate) is_publishable: bool,
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// The path after `/v1/`, with `{id}` for what varies.
    pub(crate) path: &'static str,
    /// Declares its parameters, see `params`.
    pub(crate) accepts: &'static str,
    pub(crate) is_list: bool,
    /// Whether a publishable key may ask.
    pub(crate) is_public: bool,
    pub(crate) run: fn(&mut Space, &Call) -> Answer,
}

/// Every table of endpoints; a literal path stands before one with `{id}` in its place.
const TABLES: &[&[Route]] = &[
    resources::search::ROUTES,
    resources::accounts::ROUTES,
    resources::customers::ROUTES,
    resources::events::ROUTES,
    resources::payment_intents::ROUTES,
    resources::payment_methods::ROUTES,
    resources::charges::ROUTES,
    resources::disputes::ROUTES,
    resources::invoiceitems::ROUTES,
    resources::invoices::ROUTES,
    resources::prices::ROUTES,
    resources::products::ROUTES,
    resources::quotes::ROUTES,
    resources::refunds::ROUTES,
    resources::setup_intents::ROUTES,
    resources::subscriptions::ROUTES,
    resources::webhook_endpoints::ROUTES,
];

type Run = fn(&mut Space, &Call) -> Answer;

pub(crate) const fn get(path: &'static str, accepts: &'static str, run: Run) -> Route {
    Route { method: "GET", path, accepts, is_list: false, is_public: false, run }
}

pub(crate) const fn list(path: &'static str, accepts: &'static str, run: Run) -> Route {
    Route { method: "GET", path, accepts, is_list: true, is_public: false, run }
}

pub(crate) const fn post(path: &'static str, accepts: &'static str, run: Run) -> Route {
    Route { method: "POST", path, accepts, is_list: false, is_public: false, run }
}

pub(crate) const fn delete(path: &'static str, run: Run) -> Route {
    Route { method: "DELETE", path, accepts: "", is_list: false, is_public: false, run }
}

// === impl Call ===

impl Call {
    /// What stands in the path at the first `{…}`.
    pub(crate) fn id(&self) -> &str {
        self.ids.first().map_or("", String::as_str)
    }
}

// === impl Route ===

impl Route {
    /// Opens the endpoint to publishable keys.
    pub(crate) const fn public(mut self) -> Route {
        self.is_public = true;
        self
    }

    /// `POST /v1/customers/{id}`.
    pub(crate) fn name(&self) -> String {
        format!("{} /v1/{}", self.method, self.path)
    }
}

/// Finds the endpoint of a path, and what stands in its `{…}`.
pub(crate) fn find(method: &str, path: &str) -> Option<(&'static Route, Vec<String>)> {
    let path = path.strip_prefix("/v1/")?;
    let steps: Vec<&str> = path.split('/').collect();
    TABLES.iter().copied().flatten().filter(|route| route.method == method).find_map(|route| {
        let ids = ids_of(route.path, &steps)?;
        Some((route, ids))
    })
}

fn ids_of(pattern: &str, steps: &[&str]) -> Option<Vec<String>> {
    if pattern.split('/').count() != steps.len() {
        return None;
    }
    let mut ids = Vec::new();
    for (expected, step) in pattern.split('/').zip(steps) {
        if expected.starts_with('{') {
            ids.push((*step).to_owned());
        } else if expected != *step {
            return None;
        }
    }
    Some(ids)
}
