use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Asked, Query, narrowed, page};
use crate::connector::entities::Entity;
use crate::connector::filter;
use crate::secret::SecretKey;
use crate::stripe::{Client, Settings, Transport, TransportError};

/// Lists objects as Stripe does: newest first, behind a cursor. Counts requests.
struct Lists {
    newest_first: Mutex<Vec<Value>>,
    asked: Mutex<usize>,
}

#[async_trait]
impl Transport for Lists {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, TransportError> {
        *self.asked.lock() += 1;
        let query = request.uri().query().unwrap_or_default();
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let of = |name: &str| pairs.iter().find(|(other, _)| other == name).map(|(_, it)| it);
        let objects = self.newest_first.lock();
        let after = of("starting_after")
            .map_or(0, |id| objects.iter().position(|object| object["id"] == **id).unwrap() + 1);
        let limit: usize = of("limit").unwrap().parse().unwrap();
        let rest = &objects[after..];
        let data = &rest[..rest.len().min(limit)];
        let body = json!({"data": data, "has_more": rest.len() > limit});
        Ok(Response::new(Bytes::from(body.to_string())))
    }
}

fn customers(count: usize) -> (Arc<Lists>, Client) {
    let objects = (0..count).map(|at| {
        let shown = if at % 10 == 0 { "tenth" } else { "other" };
        json!({"id": format!("cus_{at}"), "name": shown, "balance": at * 7 % 100})
    });
    let lists = Lists { newest_first: Mutex::new(objects.collect()), asked: Mutex::new(0) };
    let lists = Arc::new(lists);
    let transport = Arc::clone(&lists) as Arc<dyn Transport>;
    let key = SecretKey::parse("sk_test_1").unwrap();
    (lists, Client::new(transport, Settings::default(), key, None))
}

/// Ids of every page.
async fn walk(client: &Client, asked: &Asked<'_>) -> Vec<Vec<String>> {
    let entity = Entity::find("Customer").unwrap();
    let (mut pages, mut token) = (Vec::new(), None::<String>);
    loop {
        let asked = Asked { page_token: token.as_deref(), ..asked.clone() };
        let query = Query::read(entity, &asked).unwrap();
        let page = page(client, entity, &query).await.unwrap();
        let ids = page.objects.iter().map(|object| object["id"].as_str().unwrap().to_owned());
        pages.push(ids.collect());
        match page.next {
            Some(next) => token = Some(next),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn pages_hold_everything_once_in_the_order_of_stripe() {
    for count in [0, 1, 25, 26, 60, 250] {
        let (_, client) = customers(count);
        let pages = walk(&client, &Asked::default()).await;
        let all: Vec<String> = pages.iter().flatten().cloned().collect();
        let want: Vec<String> = (0..count).map(|at| format!("cus_{at}")).collect();
        assert_eq!(all, want);
        assert_eq!(pages.len(), count.div_ceil(25).max(1), "{count}");
    }
}

#[tokio::test]
async fn conditions_leave_out_and_lose_nothing() {
    let (_, client) = customers(2500);
    let asked = Asked { conditions: Some("Name = 'tenth'"), ..Asked::default() };
    let all: Vec<String> = walk(&client, &asked).await.concat();
    let want: Vec<String> = (0..2500).step_by(10).map(|at| format!("cus_{at}")).collect();
    assert_eq!(all, want);
}

#[tokio::test]
async fn a_page_looks_at_so_many_objects_and_no_more() {
    let (lists, client) = customers(3000);
    let entity = Entity::find("Customer").unwrap();
    let asked = Asked { conditions: Some("Name = 'nobody'"), ..Asked::default() };
    let page = page(&client, entity, &Query::read(entity, &asked).unwrap()).await.unwrap();
    assert!(page.objects.is_empty() && page.next.is_some());
    assert_eq!(*lists.asked.lock(), 10);
}

#[tokio::test]
async fn an_order_holds_over_pages_though_objects_come_and_go() {
    let (lists, client) = customers(250);
    let (sort_by, size) = (["Balance".to_owned()], Some(30));
    let asked = Asked { sort_by: &sort_by, page_size: size, ..Asked::default() };
    let all: Vec<String> = walk(&client, &asked).await.concat();
    let balance = |id: &String| id[4..].parse::<usize>().unwrap() * 7 % 100;
    assert_eq!(all.len(), 250);
    assert!(all.is_sorted_by_key(balance));
    let down = Asked { sort_order: Some("desc"), ..asked.clone() };
    let all: Vec<String> = walk(&client, &down).await.concat();
    assert!(all.iter().rev().is_sorted_by_key(balance));

    // What was on the first page goes: the second one neither skips nor repeats.
    let entity = Entity::find("Customer").unwrap();
    let first = page(&client, entity, &Query::read(entity, &asked).unwrap()).await.unwrap();
    let last = first.objects.last().unwrap().clone();
    lists.newest_first.lock().retain(|it| !first.objects.contains(it));
    let rest = Asked { page_token: first.next.as_deref(), page_size: Some(200), ..asked };
    let rest = page(&client, entity, &Query::read(entity, &rest).unwrap()).await.unwrap();
    let next = &rest.objects[0]["balance"];
    assert!(next.as_u64() >= last["balance"].as_u64());
    assert_eq!(rest.objects.len(), 200);
}

#[test]
fn a_token_belongs_to_its_question() {
    let entity = Entity::find("Customer").unwrap();
    let token = Query::read(entity, &Asked::default()).unwrap().token("cus_1", Value::Null);
    let refused =
        |asked: &Asked<'_>, entity: &Entity| Query::read(entity, asked).unwrap_err().to_string();
    let asked = Asked { page_token: Some(&token), ..Asked::default() };
    assert!(Query::read(entity, &asked).is_ok());
    assert!(refused(&asked, Entity::find("Product").unwrap()).starts_with("pageToken:"));
    let other = Asked { conditions: Some("Name = 'x'"), ..asked.clone() };
    assert!(refused(&other, entity).starts_with("pageToken:"));
    let other = Asked { page_token: Some("x"), ..Asked::default() };
    assert!(refused(&other, entity).starts_with("pageToken:"));
    let two = ["Name".to_owned(), "Email".to_owned()];
    let other = Asked { sort_by: &two, ..Asked::default() };
    assert!(refused(&other, entity).contains("Email is a second"));
    let other = Asked { sort_order: Some("up"), ..Asked::default() };
    assert!(refused(&other, entity).contains("ASC or DESC"));
}

#[test]
fn stripe_is_told_what_it_can_leave_out() {
    let check = |entity: &str, clause: &str, want: &str| {
        let filter = filter::parse(clause).unwrap();
        let form = narrowed(Entity::find(entity).unwrap(), Some(&filter));
        let pairs = form.pairs().iter().map(|(name, value)| format!("{name}={value}"));
        assert_eq!(pairs.collect::<Vec<_>>().join("&"), want, "{clause}");
    };
    check("Customer", "Email = 'a&b' AND Name = 'x'", "email=a&b");
    check("Customer", "Email = 'a' OR Name = 'x'", "");
    check(
        "Customer",
        "Created > '1.0' AND Created <= 9 AND Balance < 3",
        "created[gt]=1&created[lte]=9",
    );
    check("Price", "Active = TRUE", "active=true");
    // Subscriptions that have ended are listed as well.
    check("Subscription", "Customer = 'cus_1'", "customer=cus_1&status=all");
    check("Subscription", "Status = 'canceled'", "status=canceled");
}
