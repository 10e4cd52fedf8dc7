"""The page on /docs, in a headless Chromium."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as ec

from local.docs import PATH, page
from local.gateway import serve
from tests.api import FOR_SERVICES, OPERATIONS, PUBLIC, TEMPLATE, Api
from tests.browser.conftest import wait


@pytest.fixture(scope="module")
def url(moto_url: str) -> Iterator[str]:
    with serve(TEMPLATE, {"AWS_ENDPOINT_URL_DYNAMODB": moto_url}, pages={PATH: page}) as address:
        yield address


@pytest.fixture(scope="module")
def opened(browser: Chrome, url: str) -> Chrome:
    """The page, with its operations listed."""
    browser.get(url + PATH)
    wait(browser).until(ec.presence_of_element_located((By.CSS_SELECTOR, ".opblock")))
    return browser


def test_the_page_loads_without_errors_or_external_resources(opened: Chrome, url: str) -> None:
    assert [line for line in logged(opened, "browser") if line["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in logged(opened, "performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    asked = [one["request"]["url"] for one in sent if one["documentURL"].startswith(url)]
    assert url + PATH in asked
    assert [one for one in asked if not one.startswith((url, "data:"))] == []


def test_the_page_lists_every_operation(opened: Chrome) -> None:
    shown = {
        tuple(
            part.text for part in block.find_elements(By.CSS_SELECTOR, ".opblock-summary-method, .opblock-summary-path")
        )
        for block in opened.find_elements(By.CSS_SELECTOR, ".opblock")
    }
    assert {(method, path.replace("\u200b", "")) for method, path in shown} == {
        (one.method, one.path) for one in (OPERATIONS | FOR_SERVICES | PUBLIC).values()
    }


def test_the_page_links_to_the_contract(opened: Chrome, url: str) -> None:
    link = opened.find_element(By.CSS_SELECTOR, ".info a.link")
    assert link.get_attribute("href") == url + PUBLIC["get_openapi"].path


def test_create_and_list_work_without_input(opened: Chrome, url: str) -> None:
    status, created = executed(opened, "create_task")
    assert status == 201
    status, listed = executed(opened, "list_tasks")
    assert status == 200
    assert created in listed["items"]
    assert Api(url, "alice").get(created["id"]).json == created


def test_clear_works_without_input(opened: Chrome) -> None:
    status, cleared = executed(opened, "clear_tasks")
    assert (status, cleared["more"]) == (200, False)


def logged(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    """The log entries of Chromium of a kind."""
    lines: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return lines


def executed(browser: Chrome, operation: str) -> tuple[int, Any]:
    """Open an operation, send it unchanged, and return the response."""
    block = browser.find_element(By.CSS_SELECTOR, f"[id$='-{operation}']")
    click(browser, block.find_element(By.CSS_SELECTOR, ".opblock-summary-control"))
    click(browser, found(browser, block, ".try-out__btn"))
    click(browser, found(browser, block, ".execute"))
    live = found(browser, block, ".live-responses-table .response")
    body = found(browser, block, ".live-responses-table .response .highlight-code code")
    return int(live.find_element(By.CSS_SELECTOR, ".response-col_status").text.split()[0]), json.loads(body.text)


def found(browser: Chrome, within: WebElement, selector: str) -> WebElement:
    return wait(browser).until(lambda _: within.find_element(By.CSS_SELECTOR, selector))


def click(browser: Chrome, element: WebElement) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()
