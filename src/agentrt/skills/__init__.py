from .module import SkillsModule
from .service import BadSkill, Found, Skills, find_skills
from .skill import SKILL_FILE, Skill, entry_of, load_skill

__all__ = ["SKILL_FILE", "BadSkill", "Found", "Skill", "Skills", "SkillsModule", "entry_of", "find_skills", "load_skill"]
