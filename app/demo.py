"""A small believable campus, made by calling the services: what `make run` shows a newcomer."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import click
from flask import Flask
from flask.cli import AppGroup
from sqlalchemy import select

import courses.demo
from accounts import queries as accounts_queries
from accounts.models import Partner, PartnerKind, Person
from accounts.services import memberships, notices, partners, people, platform_roles
from app import clock
from app.access import SYSTEM, MemberRole, PlatformRole
from app.db import db, transaction
from app.locale import MICRO
from labs.models import Budget, Center, CenterKind, CenterState, Flavor
from labs.services import budgets, centers, rescue, terms

PASSWORD = "industry-and-talent"  # noqa: S105 - for the demo on one's own machine only; the settings refuse it elsewhere

PARTNERS = {
    "haibin": (PartnerKind.UNIVERSITY, "海滨大学", "Haibin University"),
    "laoshan": (PartnerKind.UNIVERSITY, "崂山理工大学", "Laoshan University of Technology"),
    "jiaozhou": (PartnerKind.UNIVERSITY, "胶州师范大学", "Jiaozhou Normal University"),
    "zhilian": (PartnerKind.COMPANY, "智联物联科技", "Zhilian IoT"),
    "hailan": (PartnerKind.COMPUTING_CENTER, "海蓝计算中心", "Hailan Computing Center"),
}


@dataclass(frozen=True)
class DemoPerson:
    """Somebody to sign in as. `part` says what to look at as this person."""

    key: str
    name: str
    name_latin: str
    partner: str
    role: MemberRole | PlatformRole
    part_zh: str
    part_en: str
    language: str = "zh_CN"
    shown: bool = True  # on the sign-in page; the others fill the class

    @property
    def email(self) -> str:
        return f"{self.key}@{self.partner}.example"

    @property
    def password(self) -> str:
        return PASSWORD


PAST_DAYS = 30  # since when there is compute

STUDENT, TEACHER, ASSISTANT = MemberRole.STUDENT, MemberRole.TEACHER, MemberRole.ASSISTANT
COORDINATOR, OPERATOR, PLATFORM = PlatformRole.COORDINATOR, PlatformRole.OPERATOR, PlatformRole.ADMINISTRATOR

PEOPLE = (
    DemoPerson("li.na", "李娜", "Li Na", "haibin", STUDENT, "海滨大学学生", "Student, Haibin University"),
    DemoPerson(
        "amira",
        "Amira Hassan",
        "Amira Hassan",
        "laoshan",
        STUDENT,
        "崂山理工大学学生（英文界面）",
        "Student, Laoshan University of Technology",
        language="en",
    ),
    DemoPerson("zhang.min", "张敏", "Zhang Min", "haibin", TEACHER, "海滨大学教师", "Teacher, Haibin University"),
    DemoPerson(
        "zhou.ting",
        "周婷",
        "Zhou Ting",
        "haibin",
        MemberRole.ADMINISTRATOR,
        "海滨大学管理员",
        "Administrator, Haibin University",
    ),
    DemoPerson(
        "zheng.kai",
        "郑凯",
        "Zheng Kai",
        "zhilian",
        PlatformRole.COORDINATOR,
        "竞赛与项目协调员",
        "Coordinator of contests",
    ),
    DemoPerson(
        "he.jing",
        "何静",
        "He Jing",
        "hailan",
        PlatformRole.OPERATOR,
        "计算中心运维",
        "Operator of the computing center",
    ),
    DemoPerson(
        "gao.yuan",
        "高远",
        "Gao Yuan",
        "hailan",
        PlatformRole.ADMINISTRATOR,
        "平台管理员",
        "Administrator of the platform",
    ),
    DemoPerson("sun.yue", "孙悦", "Sun Yue", "haibin", ASSISTANT, "助教", "Assistant", shown=False),
    DemoPerson("zhao.lei", "赵磊", "Zhao Lei", "laoshan", TEACHER, "教师", "Teacher", shown=False),
    DemoPerson(
        "emma", "Emma Clarke", "Emma Clarke", "jiaozhou", TEACHER, "教师", "Teacher", language="en", shown=False
    ),
    DemoPerson("wu.qiang", "吴强", "Wu Qiang", "zhilian", TEACHER, "企业导师", "Mentor", shown=False),
    DemoPerson("wang.wei", "王伟", "Wang Wei", "haibin", STUDENT, "学生", "Student", shown=False),
    DemoPerson("chen.chen", "陈晨", "Chen Chen", "haibin", STUDENT, "学生", "Student", shown=False),
    DemoPerson("liu.yang", "刘洋", "Liu Yang", "laoshan", STUDENT, "学生", "Student", shown=False),
    DemoPerson("ma.li", "马丽", "Ma Li", "jiaozhou", STUDENT, "学生", "Student", shown=False),
    DemoPerson("ouyang", "欧阳文静", "Ouyang Wenjing", "jiaozhou", STUDENT, "学生", "Student", shown=False),
)
SHOWN = tuple(person for person in PEOPLE if person.shown)


def init_app(app: Flask, *, shown: bool) -> None:
    """Add `chancai demo`, and offer the demo's people on the sign-in page where the settings say so."""
    app.extensions["demo_people"] = SHOWN if shown else ()
    group = AppGroup("demo", help="The demo campus.")

    @group.command("load")
    @click.option("--if-empty", is_flag=True, help="Do nothing when somebody is there already.")
    @click.option("--center", default="embedded", help="Its short name; `slurm`: labs are jobs of a Slurm cluster.")
    @click.option("--json", "as_json", is_flag=True, help="End with one line of JSON: the sign-ins.")
    def load(if_empty: bool, center: str, as_json: bool) -> None:
        """Fill the database with a small campus."""
        if is_empty():
            with transaction():
                build(center)
        elif not if_empty:
            raise click.ClickException("The database is not empty; the demo campus is made in an empty one only.")
        sign_ins = demo_sign_ins()
        if as_json:
            click.echo(json.dumps({"sign_ins": sign_ins}, ensure_ascii=False))
        else:
            for line in sign_ins:
                click.echo(f"{line['login']}  {line['password']}  {line['role']}")

    app.cli.add_command(group)


def is_empty() -> bool:
    return db.session.scalar(select(Person.id).limit(1)) is None


def demo_sign_ins() -> list[dict[str, str]]:
    """Who can sign in, where the demo was loaded; nobody where other people live in the database."""
    if db.session.scalar(select(Person.id).where(Person.email == SHOWN[0].email)) is None:
        return []
    return [{"key": p.key, "login": p.email, "password": p.password, "name": p.name, "role": p.part_en} for p in SHOWN]


def build(center_slug: str = "embedded") -> None:
    """Make the campus: partners, people, a center with flavors, compute, courses with runs."""
    by_slug = {
        slug: partners.open_partner(
            SYSTEM, slug=slug, kind=kind, title_zh=zh, title_en=en, email_domains=(f"{slug}.example",)
        )
        for slug, (kind, zh, en) in PARTNERS.items()
    }
    by_key = {person.key: _person(person, by_slug[person.partner].id) for person in PEOPLE}
    with clock.at(clock.now() - timedelta(days=PAST_DAYS)):
        flavors = _center(by_slug["hailan"], center_slug)
    _accept_terms(center_slug, by_key.values())
    purses = {slug: _budget(by_slug[slug]) for slug, (kind, *_names) in PARTNERS.items() if kind is not CENTER}
    courses.demo.build(SYSTEM, by_key, by_slug, flavors, purses)


CENTER = PartnerKind.COMPUTING_CENTER


def _person(who: DemoPerson, partner_id: UUID) -> Person:
    person = people.create(
        SYSTEM,
        email=who.email,
        name=who.name,
        name_latin=who.name_latin,
        language=who.language,
        password=who.password if who.shown else None,
    )
    if isinstance(who.role, PlatformRole):
        platform_roles.grant(SYSTEM, person_id=person.id, role=who.role, reason="demo campus")
    else:
        number = f"2026{PEOPLE.index(who):04d}"
        memberships.join(SYSTEM, partner_id=partner_id, person_id=person.id, role=who.role, number=number)
    notices.notify(person.id, "welcome", "welcome", url="/courses", name=person.name)
    return person


def _center(partner: Partner, slug: str) -> list[Flavor]:
    center = centers.register(
        SYSTEM,
        slug=slug,
        partner_id=partner.id,
        title_zh="海蓝计算中心",
        title_en="Hailan Computing Center",
        session_limit=40,
    )
    center.kind = CenterKind.SLURM if slug == CenterKind.SLURM else CenterKind.HOST
    if center.kind is CenterKind.SLURM:
        _npu(center)
    rescue.offer(SYSTEM, center, cores=0.5, memory_mb=1024)
    return [*_flavors(center), *_flavors(_closed_center(partner))]


def _closed_center(partner: Partner) -> Center:
    """A second one, which takes no labs: it has no hub here, and shows what several centers look like."""
    center = centers.register(
        SYSTEM,
        slug="hailan-2",
        partner_id=partner.id,
        title_zh="海蓝计算中心二期",
        title_en="Hailan Computing Center, phase two",
        session_limit=200,
    )
    centers.set_region(SYSTEM, center.slug, "CN-SD")
    return centers.set_state(SYSTEM, center.slug, CenterState.MAINTENANCE)


def _flavors(center: Center) -> list[Flavor]:
    sizes = (
        ("small", "小型", "Small", 1.0, 1024, MICRO),
        ("medium", "中型", "Medium", 2.0, 2048, 2 * MICRO),
        ("large", "大型", "Large", 4.0, 4096, 4 * MICRO),
    )
    return [
        centers.add_flavor(
            SYSTEM, center, slug=name, title_zh=zh, title_en=en, cores=cores, memory_mb=memory, price_micro=price
        )
        for name, zh, en, cores, memory, price in sizes
    ]


def _npu(center: Center) -> None:
    """One of the accelerators that the cluster's nodes say they have (deploy/cluster/config.py)."""
    centers.add_flavor(
        SYSTEM,
        center,
        slug="npu",
        title_zh="昇腾单卡",
        title_en="One NPU",
        cores=4.0,
        memory_mb=8192,
        price_micro=12 * MICRO,
        accelerators=1,
        accelerator_kind="Ascend",
        partition="labs",
        gres="npu:ascend:1",
    )


TERMS_ZH = """实验只用于本平台的课程、竞赛和培养计划。
您的文件归您所有，我们为您保存；请勿存放他人的个人信息。
不得挖矿、攻击其他系统，或把账号借给他人。空转的实验会被停止。"""
TERMS_EN = """Labs are for the courses, contests and programs of this platform.
Your files are yours and are kept for you; keep no personal data of others in them.
No mining, no attacks on other systems, no lending of accounts. Labs in which nothing runs are stopped."""


def _accept_terms(center_slug: str, everybody: Iterable[Person]) -> None:
    """The people of the campus have been here before: they have accepted the center's terms."""
    published = terms.publish(SYSTEM, center_slug, text_zh=TERMS_ZH, text_en=TERMS_EN)
    for person in everybody:
        terms.accept(accounts_queries.actor(person.id), center_slug, published.number)


def _budget(partner: Partner) -> Budget:
    """A year of compute: most of it for the whole year, some that must be used this term."""
    now = clock.now()
    start, end = now - timedelta(days=PAST_DAYS), now + timedelta(days=365 - PAST_DAYS)
    budget = budgets.open_partner_budget(
        SYSTEM,
        partner_id=partner.id,
        title_zh="本年度算力",
        title_en="Compute of this year",
        starts_at=start,
        ends_at=end,
    )
    with clock.at(start):
        budgets.grant(SYSTEM, budget.id, 2000 * MICRO, start, end, key=f"demo:year:{partner.slug}")
        budgets.grant(SYSTEM, budget.id, 500 * MICRO, start, now + timedelta(days=90), key=f"demo:term:{partner.slug}")
    return budget
