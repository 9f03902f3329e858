//! Developers, apps and keys.

use tollgate_ledger_store::Ledger;
use tollgate_ledger_store::catalogue::forget::Forget;
use tollgate_ledger_store::catalogue::keys::{KeyTerms, NewKey};
use tollgate_ledger_store::catalogue::records::{Approval, ProductTerms};
use tollgate_ledger_store::{CatalogueError, DocumentStore};
use tollgate_metering::{BillingType, DeveloperId, UnixMillis};

use super::desk::{ACME, Desk, is_exists, is_missing, later, sha256, terms};
use crate::fixtures::NOON;

fn key(text: &str) -> NewKey {
    NewKey {
        consumer_key: text.to_owned(),
        consumer_secret: "s".to_owned(),
        expires_at: Some(later(60)),
    }
}

/// Apigee once turned a prepaid developer into a postpaid one by any update.
#[tokio::test]
async fn an_update_keeps_billing_type_status_and_id() {
    let desk = Desk::open().await;
    let made = desk.developer("ada@example.com").await;
    assert_eq!(made.billing, BillingType::Postpaid);
    let catalogue = &desk.catalogue;
    catalogue.set_billing(ACME, "ada@example.com", BillingType::Prepaid, NOON).await.unwrap();
    catalogue.set_active(ACME, "ada@example.com", false, NOON).await.unwrap();
    let new = terms("countess@example.com");
    catalogue.update_developer(ACME, "ada@example.com", &new, later(1)).await.unwrap();

    let found = catalogue.developer(ACME, "Countess@example.com").await.unwrap();
    assert_eq!((found.id, found.billing, found.is_active), (made.id, BillingType::Prepaid, false));
    assert!(is_missing(&catalogue.developer(ACME, "ada@example.com").await));
    assert_eq!(catalogue.developer(ACME, &made.id.to_string()).await.unwrap(), found);
    // The old address is free again.
    desk.developer("ada@example.com").await;
}

#[tokio::test]
async fn an_address_belongs_to_one_developer() {
    let desk = Desk::open().await;
    desk.developer("ada@example.com").await;
    desk.developer("bob@example.com").await;
    let again = desk.catalogue.create_developer(ACME, &terms("ada@example.com"), later(90)).await;
    assert!(is_exists(&again));
    let taken = terms("ada@example.com");
    let moved = desk.catalogue.update_developer(ACME, "bob@example.com", &taken, later(90)).await;
    assert!(is_exists(&moved));
    let listed = desk.catalogue.developers(ACME, Some("b"), 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(is_missing(&desk.catalogue.developers("nobody", None, 10).await));
}

#[tokio::test]
async fn addresses_that_are_none_are_refused() {
    let desk = Desk::open().await;
    for email in ["", "ada", "Ada@example.com", "a@b@c", "@b", "a@", "a b@c.d", "a/b@c.d"] {
        let refused = desk.catalogue.create_developer(ACME, &terms(email), NOON).await;
        assert!(matches!(refused, Err(CatalogueError::Invalid { .. })), "{email}");
    }
    desk.developer("a+b.c_d@example.com").await;
}

#[tokio::test]
async fn a_developer_created_again_is_another() {
    let desk = Desk::open().await;
    let first = desk.developer("ada@example.com").await;
    desk.product("weather").await;
    let app = desk.app(&first, "shop", &["weather"]).await;
    let eur = "EUR".parse().unwrap();
    let wallet = desk.catalogue.open_wallet(ACME, first.id, eur, NOON).await.unwrap();
    assert!(desk.resolve(&app).await.is_some());

    desk.catalogue.delete_developer(ACME, "ada@example.com", NOON).await.unwrap();
    assert!(desk.resolve(&app).await.is_none());
    assert!(desk.ledger.read(wallet).await.unwrap().unwrap().account.header.is_sealed);
    assert!(is_missing(&desk.catalogue.delete_developer(ACME, "ada@example.com", NOON).await));

    let second = desk.developer("ada@example.com").await;
    assert_ne!(second.id, first.id);
    assert!(desk.catalogue.apps(ACME, second.id, None, 10).await.unwrap().is_empty());
    assert_ne!(desk.catalogue.open_wallet(ACME, second.id, eur, NOON).await.unwrap(), wallet);
    // The key of the first can be given out again: nobody has it.
    desk.app(&second, "shop", &["weather"]).await;
    let again = key(&app.credentials[0].consumer_key);
    desk.catalogue.create_key(ACME, &second, "shop", again, &[], NOON).await.unwrap();
}

#[tokio::test]
async fn a_key_belongs_to_one_app() {
    let desk = Desk::open().await;
    let developer = desk.developer("ada@example.com").await;
    desk.product("weather").await;
    desk.app(&developer, "shop", &["weather"]).await;
    desk.app(&developer, "mail", &[]).await;
    let catalogue = &desk.catalogue;
    catalogue.create_key(ACME, &developer, "shop", key("k-1"), &[], NOON).await.unwrap();
    for app in ["shop", "mail"] {
        let again = catalogue.create_key(ACME, &developer, app, key("k-1"), &[], later(90)).await;
        assert!(is_exists(&again), "{app}");
        assert!(!again.unwrap_err().to_string().contains("k-1"), "an error shows a key");
    }
    catalogue.delete_key(ACME, &developer, "shop", "k-1", NOON).await.unwrap();
    assert!(catalogue.resolve(&sha256("k-1"), NOON).await.unwrap().is_none());
    catalogue.create_key(ACME, &developer, "mail", key("k-1"), &[], NOON).await.unwrap();
    let caller = catalogue.resolve(&sha256("k-1"), NOON).await.unwrap().unwrap();
    assert_eq!((caller.app_name.as_str(), caller.key_expires_at), ("mail", Some(later(60))));
}

#[tokio::test]
async fn keys_wait_for_products_that_are_approved_by_hand() {
    let desk = Desk::open().await;
    let developer = desk.developer("ada@example.com").await;
    let manual = ProductTerms { is_manual_approval: true, ..ProductTerms::default() };
    desk.catalogue.create_product(ACME, "gold", &manual, NOON).await.unwrap();
    desk.product("weather").await;
    let app = desk.app(&developer, "shop", &["gold", "weather", "gold"]).await;
    let caller = desk.resolve(&app).await.unwrap();
    let approvals: Vec<_> =
        caller.products.iter().map(|on| (on.name.as_str(), on.approval)).collect();
    assert_eq!(approvals, [("gold", Approval::Pending), ("weather", Approval::Approved)]);

    let consumer_key = app.credentials[0].consumer_key.as_str();
    let path = ("shop", consumer_key, "gold");
    let set = |status| desk.catalogue.set_key_product(ACME, &developer, path, status, NOON);
    set(Some(Approval::Approved)).await.unwrap();
    assert_eq!(desk.resolve(&app).await.unwrap().products[0].approval, Approval::Approved);
    set(None).await.unwrap();
    assert_eq!(desk.resolve(&app).await.unwrap().products.len(), 1);
    assert!(is_missing(&set(None).await));

    // A product deleted and created again under the same name is another.
    desk.catalogue.delete_product(ACME, "weather", NOON).await.unwrap();
    desk.product("weather").await;
    assert!(desk.resolve(&app).await.unwrap().products.is_empty());
    let more = KeyTerms { products: vec!["weather".to_owned()], ..KeyTerms::default() };
    let key = desk.catalogue.update_key(ACME, &developer, "shop", consumer_key, &more, NOON).await;
    assert_eq!(key.unwrap().products.len(), 1);
    let none = KeyTerms { products: vec!["nothing".to_owned()], ..KeyTerms::default() };
    let key = desk.catalogue.update_key(ACME, &developer, "shop", consumer_key, &none, NOON).await;
    assert!(is_missing(&key));
}

#[tokio::test]
async fn every_change_that_matters_to_a_gateway_names_what_it_forgets() {
    let desk = Desk::open().await;
    let developer = desk.developer("ada@example.com").await;
    let product = desk.product("weather").await;
    let app = desk.app(&developer, "shop", &["weather"]).await;
    let consumer_key = app.credentials[0].consumer_key.as_str();
    let hash = sha256(consumer_key);
    let of_developer = Forget::Developer(developer.id);
    // Twice: a gateway that asked between the claim of a key and its app hears again.
    let of_key = forgotten(&desk, NOON).await.into_iter().filter(|it| *it == Forget::Key(hash));
    assert_eq!(of_key.count(), 2);

    let catalogue = &desk.catalogue;
    catalogue
        .set_key_status(ACME, &developer, "shop", consumer_key, Approval::Revoked, later(10))
        .await
        .unwrap();
    assert_eq!(forgotten(&desk, later(10)).await, std::slice::from_ref(&of_developer));
    catalogue.set_active(ACME, "ada@example.com", false, later(20)).await.unwrap();
    assert_eq!(forgotten(&desk, later(20)).await, std::slice::from_ref(&of_developer));
    let terms = ProductTerms::default();
    catalogue.update_product(ACME, "weather", &terms, later(30)).await.unwrap();
    assert_eq!(forgotten(&desk, later(30)).await, [Forget::Product(product.id)]);
    let eur = "EUR".parse().unwrap();
    catalogue.open_wallet(ACME, developer.id, eur, later(40)).await.unwrap();
    assert_eq!(forgotten(&desk, later(40)).await, [of_developer]);
}

async fn forgotten(desk: &Desk, since: UnixMillis) -> Vec<Forget> {
    let changes = desk.ledger.changes(since).await.unwrap();
    let changes = changes.iter().filter(|change| change.at >= since);
    let known: Vec<Forget> = changes.filter_map(Forget::of).collect();
    let nobody = Forget::Developer(DeveloperId(uuid::Uuid::nil()));
    assert!(!known.contains(&Forget::Everything) && !known.contains(&nobody));
    known
}
