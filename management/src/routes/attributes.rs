//! `…/attributes` of developers, apps and API products.

use axum::extract::{FromRequestParts, RawPathParams, State};
use http::request::Parts as Head;
use tollgate_ledger_store::CatalogueError;
use tollgate_ledger_store::catalogue::attributes::AttributeChange;
use tollgate_ledger_store::catalogue::error::What;
use tollgate_ledger_store::catalogue::records::Attribute;

use super::{Answer, developer, wallets};
use crate::error::ApiError;
use crate::extract::{Json, Parameters};
use crate::router::{Api, ok};
use crate::shapes::attributes::{AttributeInput, AttributeList};
use crate::shapes::{AttributeShape, attribute_shapes};

/// Somebody who may do what a route needs: what that is depends on whose attributes they are.
pub(crate) trait Permitted:
    FromRequestParts<Api, Rejection = ApiError> + Send + 'static
{
}

impl<P: FromRequestParts<Api, Rejection = ApiError> + Send + 'static> Permitted for P {}

/// What the attributes in a path belong to.
pub(crate) enum Place {
    Developer { organization: String, developer: String },
    App { organization: String, developer: String, app: String },
    Product { organization: String, product: String },
}

pub(crate) async fn list<P: Permitted>(
    State(api): State<Api>,
    _: P,
    place: Place,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    Ok(ok(&AttributeList::of(&place.read(&api).await?)))
}

/// Replaces all of them.
pub(crate) async fn replace<P: Permitted>(
    State(api): State<Api>,
    _: P,
    place: Place,
    query: Parameters,
    Json(input): Json<AttributeList>,
) -> Answer {
    query.only(&[])?;
    let change = AttributeChange::Replace(input.attributes());
    Ok(ok(&AttributeList::of(&place.change(&api, &change).await?)))
}

pub(crate) async fn get<P: Permitted>(
    State(api): State<Api>,
    _: P,
    place: Place,
    Name(name): Name,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    Ok(ok(&one(&place.read(&api).await?, &name)?))
}

pub(crate) async fn set<P: Permitted>(
    State(api): State<Api>,
    _: P,
    place: Place,
    Name(name): Name,
    query: Parameters,
    Json(input): Json<AttributeInput>,
) -> Answer {
    query.only(&[])?;
    if input.name.is_some_and(|given| given != name) {
        return Err(ApiError::invalid("name", "is not the name in the path"));
    }
    let value = input.value.unwrap_or_default();
    let change = AttributeChange::Set(Attribute { name: name.clone(), value });
    Ok(ok(&one(&place.change(&api, &change).await?, &name)?))
}

/// Answers with what was removed.
pub(crate) async fn remove<P: Permitted>(
    State(api): State<Api>,
    _: P,
    place: Place,
    Name(name): Name,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let removed = one(&place.read(&api).await?, &name)?;
    place.change(&api, &AttributeChange::Remove(name)).await?;
    Ok(ok(&removed))
}

fn one(stored: &[Attribute], name: &str) -> Result<AttributeShape, ApiError> {
    let found: Vec<Attribute> = stored.iter().filter(|on| on.name == name).cloned().collect();
    attribute_shapes(&found).pop().ok_or_else(|| {
        let (what, name, inside) = (What::Attribute, name.to_owned(), "its owner".to_owned());
        ApiError::Catalogue(CatalogueError::Missing { what, name, inside })
    })
}

/// The attribute in a path.
pub(crate) struct Name(String);

// === impl Place ===

impl Place {
    async fn read(&self, api: &Api) -> Result<Vec<Attribute>, ApiError> {
        Ok(match self {
            Place::Developer { organization, developer: name } => {
                developer(api, organization, name).await?.attributes
            }
            Place::App { organization, developer: name, app } => {
                let owner = developer(api, organization, name).await?;
                api.catalogue.app(organization, &owner, app).await?.attributes
            }
            Place::Product { organization, product } => {
                api.catalogue.product(organization, product).await?.terms.attributes
            }
        })
    }

    /// Attributes may say how far wallets are overspent: wallets follow at once.
    async fn change(
        &self,
        api: &Api,
        change: &AttributeChange,
    ) -> Result<Vec<Attribute>, ApiError> {
        let (catalogue, now) = (&api.catalogue, api.clock.now());
        Ok(match self {
            Place::Developer { organization, developer: name } => {
                let owner = developer(api, organization, name).await?;
                let changed = catalogue
                    .change_developer_attributes(organization, &owner, change, now)
                    .await?;
                wallets::follow(api, changed.id).await;
                changed.attributes
            }
            Place::App { organization, developer: name, app } => {
                let owner = developer(api, organization, name).await?;
                catalogue
                    .change_app_attributes(organization, &owner, app, change, now)
                    .await?
                    .attributes
            }
            Place::Product { organization, product } => {
                catalogue
                    .change_product_attributes(organization, product, change, now)
                    .await?
                    .terms
                    .attributes
            }
        })
    }
}

impl FromRequestParts<Api> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, api: &Api) -> Result<Place, ApiError> {
        let names = names(head, api).await?;
        let name = |wanted: &str| value(&names, wanted);
        let organization = name("organization").ok_or(ApiError::NoSuchPath)?;
        match (name("developer"), name("app"), name("product")) {
            (Some(developer), Some(app), None) => Ok(Place::App { organization, developer, app }),
            (Some(developer), None, None) => Ok(Place::Developer { organization, developer }),
            (None, None, Some(product)) => Ok(Place::Product { organization, product }),
            (_, _, _) => Err(ApiError::NoSuchPath),
        }
    }
}

impl FromRequestParts<Api> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Head, api: &Api) -> Result<Name, ApiError> {
        let names = names(head, api).await?;
        value(&names, "attribute").map(Name).ok_or(ApiError::NoSuchPath)
    }
}

async fn names(head: &mut Head, api: &Api) -> Result<RawPathParams, ApiError> {
    RawPathParams::from_request_parts(head, api).await.map_err(|_| ApiError::NoSuchPath)
}

fn value(names: &RawPathParams, wanted: &str) -> Option<String> {
    names.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let organization = "/v1/organizations/{organization}";
    let owners = [
        ("a developer", "developers/{developer}"),
        ("an app", "developers/{developer}/apps/{app}"),
        ("an API product", "apiproducts/{product}"),
    ];
    for (owner, path) in owners {
        let all = &format!("{organization}/{path}/attributes");
        let one = &format!("{all}/{{attribute}}");
        let say = |what: &str| format!("{what} of {owner}");
        paths.get(all, &say("Lists attributes")).answers::<AttributeList>(200);
        paths
            .post(all, &say("Replaces attributes"))
            .takes::<AttributeList>()
            .answers::<AttributeList>(200);
        paths.get(one, &say("Reads an attribute")).answers::<AttributeShape>(200);
        paths
            .post(one, &say("Sets an attribute"))
            .takes::<AttributeInput>()
            .example(serde_json::json!({ "value": "public" }))
            .answers::<AttributeShape>(200);
        paths.delete(one, &say("Removes an attribute")).answers::<AttributeShape>(200);
    }
}
