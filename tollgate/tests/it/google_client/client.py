"""Uses Tollgate through Google's client of Apigee's API, as a portal would."""

import json
import os

import httplib2
from google.api_core.client_options import ClientOptions
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

apigee = build(
    "apigee",
    "v1",
    credentials=Credentials(os.environ["TOLLGATE_TOKEN"]),
    client_options=ClientOptions(api_endpoint=os.environ["TOLLGATE_URL"]),
    static_discovery=True,
)
organizations = apigee.organizations()
developers = organizations.developers()
products = organizations.apiproducts()
plans = products.rateplans()
subscriptions = developers.subscriptions()
apps = developers.apps()
ORG = "organizations/" + os.environ["TOLLGATE_ORGANIZATION"]
EVE = ORG + "/developers/eve@example.com"


def expect(got, want):
    assert got == want, f"{got!r} is not {want!r}"


def expect_error(request, status, word, reason=None):
    """Runs a request that must fail, and reads the error where Google's clients look for it."""
    try:
        answer = request.execute()
    except HttpError as error:
        body = json.loads(error.content)["error"]
        expect((error.resp.status, body["code"], body["status"]), (status, status, word))
        assert error.reason == body["message"], error.reason
        if reason:
            expect(body["details"][0]["violations"][0]["type"], reason)
        return body
    raise AssertionError(f"no error, but {answer!r}")


def money(units, nanos=None, currency="EUR"):
    amount = {"currencyCode": currency, "units": units}
    return amount if nanos is None else {**amount, "nanos": nanos}


def balances(answer):
    return [wallet["balance"] for wallet in answer["wallets"]]


# Developers.
body = {"email": "eve@example.com", "firstName": "Eve", "lastName": "N", "userName": "eve"}
made = developers.create(parent=ORG, body=body).execute()
expect((made["email"], made["status"]), ("eve@example.com", "active"))
int(made["createdAt"])
expect(developers.get(name=EVE).execute()["developerId"], made["developerId"])
listed = developers.list(parent=ORG, expand=True).execute()["developer"]
assert made["developerId"] in [one["developerId"] for one in listed], listed
expect(developers.update(name=EVE, body={**made, "lastName": "M"}).execute()["lastName"], "M")
expect(developers.setDeveloperStatus(name=EVE, action="inactive").execute(), {})
expect(developers.get(name=EVE).execute()["status"], "inactive")
developers.setDeveloperStatus(name=EVE, action="active").execute()
attribute = {"name": "team", "value": "one"}
team = developers.attributes().updateDeveloperAttribute(name=EVE + "/attributes/team", body=attribute)
expect(team.execute(), attribute)
expect(developers.attributes().list(parent=EVE).execute(), {"attribute": [attribute]})
config = EVE + "/monetizationConfig"
expect(developers.getMonetizationConfig(name=config).execute(), {"billingType": "POSTPAID"})
prepaid = {"billingType": "PREPAID"}
expect(developers.updateMonetizationConfig(name=config, body=prepaid).execute(), prepaid)

# Products and plans.
product = products.create(parent=ORG, body={"name": "maps", "displayName": "Maps"}).execute()
expect((product["name"], product["approvalType"]), ("maps", "auto"))
MAPS = ORG + "/apiproducts/maps"
plan = {
    "apiproduct": "maps", "displayName": "standard", "billingPeriod": "MONTHLY",
    "currencyCode": "EUR", "state": "PUBLISHED", "startTime": "1700000000000",
    "setupFee": {"units": "5"}, "consumptionPricingType": "BANDED",
    "consumptionPricingRates": [
        {"start": "1", "end": "100", "fee": {"units": "2"}},
        {"start": "101", "fee": {"units": "1", "nanos": 500000000}},
    ],
}
made = plans.create(parent=MAPS, body=plan).execute()
expect(made["setupFee"], money("5"))
expect(made["consumptionPricingRates"][1]["fee"], money("1", 500000000))
name = MAPS + "/rateplans/" + made["name"]
expect(plans.get(name=name).execute(), made)
expect(plans.list(parent=MAPS, expand=True, state="PUBLISHED").execute()["ratePlans"], [made])
expect(plans.update(name=name, body={**made, "description": "d"}).execute()["description"], "d")

# Apps and keys.
app = apps.create(parent=EVE, body={"name": "shop", "apiProducts": ["maps"]}).execute()
expect(app["credentials"][0]["apiProducts"], [{"apiproduct": "maps", "status": "approved"}])
SHOP = EVE + "/apps/shop"
own = {"consumerKey": "own-key", "consumerSecret": "own-secret"}
expect(apps.keys().create().create(parent=SHOP, body=own).execute()["status"], "approved")
key = SHOP + "/keys/own-key"
put = apps.keys().updateDeveloperAppKey(name=key, body={"apiProducts": ["maps"]}).execute()
expect(put["apiProducts"][0]["apiproduct"], "maps")
expect(organizations.apps().get(name=ORG + "/apps/" + app["appId"]).execute()["developerEmail"], "eve@example.com")
found = organizations.apps().list(parent=ORG, filter="developerEmail=eve@example.com").execute()
expect(found["app"], [{"appId": app["appId"]}])

# A purchase without a wallet, with too little money, and with enough.
buy = {"apiproduct": "maps"}
expect_error(
    subscriptions.create(parent=EVE, body=buy), 400, "FAILED_PRECONDITION",
    "keymanagement.service.developer_wallet_does_not_exist",
)
wallet = developers.balance()
expect(developers.getBalance(name=EVE + "/balance").execute(), {})
first = {"transactionAmount": money("2", 500000000), "transactionId": "t-1"}
for _ in range(2):
    credited = wallet.credit(name=EVE + "/balance", body=first).execute()
    expect(balances(credited), [money("2", 500000000)])
int(credited["wallets"][0]["lastCreditTime"])
expect_error(
    subscriptions.create(parent=EVE, body=buy), 400, "FAILED_PRECONDITION",
    "mint.service.developer_usage_exceeds_balance",
)
second = {"transactionAmount": money("10"), "transactionId": "t-2"}
expect(balances(wallet.credit(name=EVE + "/balance", body=second).execute()), [money("12", 500000000)])
bought = subscriptions.create(parent=EVE, body=buy).execute()
expect(balances(developers.getBalance(name=EVE + "/balance").execute()), [money("7", 500000000)])
expect(subscriptions.list(parent=EVE).execute()["developerSubscriptions"], [bought])
expect_error(subscriptions.create(parent=EVE, body=buy), 409, "ALREADY_EXISTS")

# Adjustments: a positive one lowers the balance, a negative one raises it.
lowered = wallet.adjust(name=EVE + "/balance", body={"adjustment": money("1")}).execute()
expect(balances(lowered), [money("6", 500000000)])
raised = wallet.adjust(name=EVE + "/balance", body={"adjustment": money("-1", -250000000)}).execute()
expect(balances(raised), [money("7", 750000000)])

ended = subscriptions.expire(name=EVE + "/subscriptions/" + bought["name"], body={}).execute()
int(ended["endTime"])

# Errors.
expect_error(
    developers.get(name=ORG + "/developers/nobody@example.com"), 404, "NOT_FOUND",
    "developer.service.DeveloperIdDoesNotExist",
)
expect_error(
    developers.create(parent=ORG, body=body), 409, "ALREADY_EXISTS",
    "developer.service.DeveloperAlreadyExists",
)
expect_error(apps.get(name=EVE + "/apps/none"), 404, "NOT_FOUND", "developer.service.AppDoesNotExist")
expect_error(
    apps.keys().delete(name=SHOP + "/keys/none"), 404, "NOT_FOUND",
    "keymanagement.service.InvalidClientIdForGivenApp",
)
bad = expect_error(plans.create(parent=MAPS, body={**plan, "consumptionPricingType": "FREE"}), 400, "INVALID_ARGUMENT")
assert "FREE" in bad["message"], bad
stranger = build(
    "apigee", "v1", http=httplib2.Http(), static_discovery=True,
    client_options=ClientOptions(api_endpoint=os.environ["TOLLGATE_URL"]),
)
expect_error(stranger.organizations().developers().get(name=EVE), 401, "UNAUTHENTICATED")

# Everything goes again.
expect(apps.delete(name=SHOP).execute()["appId"], app["appId"])
expect(products.delete(name=MAPS).execute()["name"], "maps")
expect(developers.delete(name=EVE).execute()["email"], "eve@example.com")
print("all passed")
