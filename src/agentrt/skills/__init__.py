from .module import SkillsModule
from .service import BadSkill, Found, Skills, find_skills
from .skill import SKILL_FILE, Skill, load_skill

__all__ = ["SKILL_FILE", "BadSkill", "Found", "Skill", "Skills", "SkillsModule", "find_skills", "load_skill"]
