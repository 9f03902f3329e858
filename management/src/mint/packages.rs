//! `…/monetization-packages` and `…/products`: API products that are sold together.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::{Package, PackageText, Product};

use super::query::Terms;
use super::shapes::{Named, Reference};
use super::{date, rate_plans};
use crate::error::ApiError;
use crate::extract::{At, Body, Json};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::routes::Answer;

/// A package in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PackageInput {
    id: Option<String>,
    name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    status: Option<String>,
    product: Vec<Reference>,
}

/// A package in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PackageShape {
    id: String,
    name: String,
    display_name: String,
    description: String,
    status: String,
    organization: Named,
    product: Vec<Named>,
    created: String,
    updated: String,
}

/// An API product as Edge's paths show one.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductShape {
    id: String,
    name: String,
    display_name: String,
    description: String,
    status: &'static str,
    /// Attributes that Edge's monetization reads, by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_recording_policies: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    custom_attributes: Vec<String>,
}

/// Lists of both.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PackageList {
    #[serde(rename = "monetizationPackage")]
    _monetization_package: Vec<PackageShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProductList {
    #[serde(rename = "product")]
    _product: Vec<ProductShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At(organization): At<String>,
    Json(input): Json<PackageInput>,
) -> Answer {
    let name = input.name.clone().or_else(|| input.display_name.clone());
    let id = input.id.clone().or_else(|| name.as_deref().map(slug)).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ApiError::invalid("name", "is required"))?;
    let products: Vec<String> = input.product.iter().map(|product| product.id.clone()).collect();
    let (text, now) = (input.text(), api.clock.now());
    let made = api.catalogue.create_package(&organization, &id, &text, &products, now).await?;
    Ok(created(&PackageShape::of(&organization, &made)))
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::ProductsRead,
    At(organization): At<String>,
    query: Terms,
) -> Answer {
    let all = api.catalogue.packages(&organization).await?;
    let shapes = all.iter().map(|package| PackageShape::of(&organization, package)).collect();
    Ok(ok(&query.list("monetizationPackage", shapes)?))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, id)): At<(String, String)>,
) -> Answer {
    let found = api.catalogue.package(&organization, &id).await?;
    Ok(ok(&PackageShape::of(&organization, &found)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, id)): At<(String, String)>,
    Json(input): Json<PackageInput>,
) -> Answer {
    let (text, now) = (input.text(), api.clock.now());
    let changed = api.catalogue.update_package(&organization, &id, &text, now).await?;
    Ok(ok(&PackageShape::of(&organization, &changed)))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, id)): At<(String, String)>,
) -> Answer {
    let package = api.catalogue.package(&organization, &id).await?;
    for plan in &package.plans {
        rate_plans::refuse_published(&api, &organization, &plan.name).await?;
    }
    let deleted = api.catalogue.delete_package(&organization, &id, api.clock.now()).await?;
    Ok(ok(&PackageShape::of(&organization, &deleted)))
}

/// Puts a product into a package; the body is `{}`.
pub(crate) async fn add_product(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, id, product)): At<(String, String, String)>,
    Body(_): Body,
) -> Answer {
    let now = api.clock.now();
    let changed = api.catalogue.add_to_package(&organization, &id, &product, now).await?;
    Ok(created(&PackageShape::of(&organization, &changed)))
}

pub(crate) async fn remove_product(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, id, product)): At<(String, String, String)>,
) -> Answer {
    let now = api.clock.now();
    let changed = api.catalogue.remove_from_package(&organization, &id, &product, now).await?;
    Ok(ok(&PackageShape::of(&organization, &changed)))
}

pub(crate) async fn products(
    State(api): State<Api>,
    _: may::ProductsRead,
    At(organization): At<String>,
    query: Terms,
) -> Answer {
    let all = api.catalogue.products(&organization, None, usize::MAX).await?;
    Ok(ok(&query.list("product", all.iter().map(ProductShape::of).collect())?))
}

pub(crate) async fn product(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, name)): At<(String, String)>,
) -> Answer {
    Ok(ok(&ProductShape::of(&api.catalogue.product(&organization, &name).await?)))
}

/// A name as an id.
fn slug(name: &str) -> String {
    let kept = name.chars().filter(|char| char.is_ascii_alphanumeric() || "-_".contains(*char));
    kept.collect::<String>().to_ascii_lowercase()
}

// === impl PackageInput ===

impl PackageInput {
    fn text(&self) -> PackageText {
        let name = self.name.clone().or_else(|| self.display_name.clone()).unwrap_or_default();
        PackageText {
            display_name: self.display_name.clone().unwrap_or_else(|| name.clone()),
            name,
            description: self.description.clone().unwrap_or_default(),
            status: self.status.clone().unwrap_or_else(|| "CREATED".to_owned()),
        }
    }
}

// === impl PackageShape ===

impl PackageShape {
    fn of(organization: &str, package: &Package) -> PackageShape {
        let products = package.products.iter();
        PackageShape {
            id: package.id.clone(),
            name: package.terms.name.clone(),
            display_name: package.terms.display_name.clone(),
            description: package.terms.description.clone(),
            status: package.terms.status.clone(),
            organization: Named::of(organization, organization),
            product: products.map(|product| Named::of(&product.name, &product.name)).collect(),
            created: date::write(package.created_at),
            updated: date::write(package.modified_at),
        }
    }
}

// === impl ProductShape ===

impl ProductShape {
    fn of(product: &Product) -> ProductShape {
        let attributes = &product.terms.attributes;
        let policies = attributes.iter().find(|it| it.name == "transactionRecordingPolicies");
        let custom = attributes.iter().filter(|it| it.name.starts_with("MINT_CUSTOM_ATTRIBUTE_"));
        ProductShape {
            id: product.name.clone(),
            name: product.name.clone(),
            display_name: match product.terms.display_name.as_str() {
                "" => product.name.clone(),
                name => name.to_owned(),
            },
            description: product.terms.description.clone(),
            status: "CREATED",
            transaction_recording_policies: policies.map(|it| it.value.clone()),
            custom_attributes: custom.map(|it| it.name.clone()).collect(),
        }
    }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/mint/organizations/{organization}";
    let all = &format!("{at}/monetization-packages");
    let one = &format!("{all}/{{package}}");
    let product = &format!("{one}/products/{{product}}");
    paths.get(all, "Lists monetization packages").answers::<PackageList>(200);
    paths
        .post(all, "Creates a monetization package")
        .takes::<PackageInput>()
        .example(serde_json::json!({
            "name": "mypackage",
            "displayName": "My package",
            "description": "Weather",
            "status": "CREATED",
            "product": [{ "id": "weather" }],
        }))
        .answers::<PackageShape>(201);
    paths.get(one, "Reads a monetization package").answers::<PackageShape>(200);
    paths
        .put(one, "Changes a monetization package")
        .takes::<PackageInput>()
        .answers::<PackageShape>(200);
    paths.delete(one, "Deletes a monetization package").answers::<PackageShape>(200);
    paths.post(product, "Puts an API product into a package").answers::<PackageShape>(201);
    paths.delete(product, "Takes an API product out of a package").answers::<PackageShape>(200);
    paths.get(&format!("{at}/products"), "Lists API products").answers::<ProductList>(200);
    paths
        .get(&format!("{at}/products/{{product}}"), "Reads an API product")
        .answers::<ProductShape>(200);
}
