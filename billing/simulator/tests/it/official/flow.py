"""Stripe's own client for Python, unchanged, against the simulator: every flow that Tollgate depends on."""

import http.server
import json
import os
import threading
import urllib.request

import stripe

URL = os.environ["SIMULATOR_URL"]
client = stripe.StripeClient(
    os.environ["SIMULATOR_KEY"], base_addresses={"api": URL}, max_network_retries=2
)


def control(action, **sent):
    request = urllib.request.Request(f"{URL}/_control/{action}", json.dumps(sent).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class Receiver(http.server.BaseHTTPRequestHandler):
    letters = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.letters.append((self.headers["stripe-signature"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def refused(error, call):
    try:
        call()
    except error as refusal:
        return refusal
    raise AssertionError(f"no {error.__name__}")


def payments():
    customer = client.v1.customers.create({"name": "Ann", "metadata": {"developer": "d-1"}})
    setup = client.v1.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True, "payment_method_types": ["card"]}
    )
    assert setup.status == "succeeded", setup
    paid = client.v1.payment_intents.create(
        {
            "amount": 1500,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": setup.payment_method,
            "off_session": True,
            "confirm": True,
            "metadata": {"transaction": "t-1"},
            "expand": ["latest_charge"],
        }
    )
    assert paid.status == "succeeded" and paid.latest_charge.amount_captured == 1500
    found = client.v1.payment_intents.search({"query": "metadata['transaction']:'t-1'"})
    assert [intent.id for intent in found.data] == [paid.id]
    refund = client.v1.refunds.create({"payment_intent": paid.id, "amount": 500})
    assert refund.status == "succeeded"

    declined = {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa_chargeDeclined", "confirm": True}
    declined["payment_method_types"] = ["card"]
    refusal = refused(stripe.CardError, lambda: client.v1.payment_intents.create(declined))
    assert refusal.code == "card_declined" and refusal.http_status == 402
    assert refusal.error.payment_intent.status == "requires_payment_method"
    assert refusal.request_id.startswith("req_")
    refused(stripe.InvalidRequestError, lambda: client.v1.payment_intents.retrieve("pi_none"))
    stranger = stripe.StripeClient("sk_test_nobody_at_all_0000", base_addresses={"api": URL})
    refused(stripe.AuthenticationError, stranger.v1.customers.list)
    return customer.id


def retries():
    """The client repeats what it had no answer to, with its key: nothing is paid twice."""
    body = {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    body["payment_method_types"] = ["card"]
    for fault in ["cut_after", "cut_before"]:
        control("faults", kind=fault, method="POST", path="/v1/payment_intents", times=1)
        paid = client.v1.payment_intents.create({**body, "metadata": {"fault": fault}})
        assert paid.status == "succeeded"
        found = client.v1.payment_intents.search({"query": f"metadata['fault']:'{fault}'"})
        assert len(found.data) == 1, fault
    key = {"idempotency_key": "k-1"}
    first = client.v1.customers.create({"name": "Bo"}, key)
    assert client.v1.customers.create({"name": "Bo"}, key).id == first.id
    refused(stripe.IdempotencyError, lambda: client.v1.customers.create({"name": "Cy"}, key))
    control("faults", kind="rate_limited", method="GET", path="/v1/customers", times=1)
    refused(stripe.RateLimitError, client.v1.customers.list)


def invoices(customer):
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
    draft = client.v1.invoices.create({"customer": customer, "auto_advance": False})
    for number in range(12):
        item = {"customer": customer, "invoice": draft.id, "amount": 100 + number, "currency": "usd"}
        client.v1.invoice_items.create(item)
    final = client.v1.invoices.finalize_invoice(draft.id)
    assert final.status == "open" and final.amount_due == sum(range(100, 112))
    lines = list(client.v1.invoices.line_items.list(draft.id, {"limit": 5}).auto_paging_iter())
    assert [line.amount for line in lines] == list(range(100, 112))
    assert client.v1.invoices.pay(draft.id).status == "paid"

    product = client.v1.products.create({"name": "Gold"})
    price = client.v1.prices.create(
        {"product": product.id, "unit_amount": 1000, "currency": "usd", "recurring": {"interval": "month"}}
    )
    subscription = client.v1.subscriptions.create({"customer": customer, "items": [{"price": price.id}]})
    assert subscription.status == "active", subscription
    assert client.v1.subscriptions.cancel(subscription.id).status == "canceled"
    quote = client.v1.quotes.create({"customer": customer, "line_items": [{"price": price.id, "quantity": 2}]})
    client.v1.quotes.finalize_quote(quote.id)
    assert client.v1.quotes.accept(quote.id).status == "accepted"


def webhooks():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = client.v1.webhook_endpoints.create(
        {"url": f"http://127.0.0.1:{server.server_port}/hooks", "enabled_events": ["customer.created"]}
    )
    control("webhook_faults", is_held=True)
    second = control("webhooks/roll_secret", id=endpoint.id)["secret"]
    made = client.v1.customers.create({"name": "Dee"})
    assert control("deliver") == {"delivered": 1, "failed": 0}
    [(signature, body)] = Receiver.letters
    for secret in [endpoint.secret, second]:
        event = client.construct_event(body, signature, secret)
        assert event.type == "customer.created" and event.data.object.id == made.id
    refused(stripe.SignatureVerificationError, lambda: client.construct_event(body + b" ", signature, second))
    refused(stripe.SignatureVerificationError, lambda: client.construct_event(body, signature, "whsec_other"))
    newest = client.v1.events.list({"types": ["customer.created"], "delivery_success": True, "limit": 1})
    assert newest.data[0].id == event.id
    client.v1.webhook_endpoints.delete(endpoint.id)
    control("faults/clear")
    server.shutdown()


customer = payments()
retries()
invoices(customer)
webhooks()
assert len(list(client.v1.customers.list({"limit": 1}).auto_paging_iter())) == 3
print("all passed")
