/** Texts of our own, with a bar where a sentence begins. Ordinary prose: abbreviations, numbers, dates, quotations, questions. */
export const ownTexts = {
  en:
    'The ferry to Skarn leaves at 7.15 every morning. ⏐In winter it is often late, because the harbour freezes. ⏐Mr. Aldous, who runs the kiosk, keeps a list of delays. ⏐' +
    'Last January there were nineteen! ⏐The longest took 4.5 hours. ⏐Nobody complained, for nobody had anywhere else to be. ⏐' +
    'Why do people still live on the island? ⏐Dr. Imogen Pell has studied the question since 1998. ⏐She found that about 62.4 percent of them were born there. ⏐' +
    'The others came for work, for quiet, or for someone they had met on the boat.\n\n⏐' +
    '"I never meant to stay," said the baker. ⏐"My bag was lost on the first day. I waited for it. I am waiting still." ⏐He laughed and gave us two rolls. ⏐' +
    'The school has eleven pupils and one teacher. ⏐Ms. Tarrant teaches all subjects, e.g. music, Latin and boat repair. ⏐On Fridays the class walks to the lighthouse (it has been empty since 2003). ⏐' +
    'From the top you can see the coast, the wind farm and, on clear days, the hills behind Port Ellary. ⏐The children count the ships. ⏐Their record is forty-one.\n\n⏐' +
    'Plans for a bridge were drawn up twice. ⏐The first one, from 1931, would have cost £2.3 million. ⏐The second was never finished... ⏐Its author moved to Lisbon and took the drawings with him. ⏐' +
    'Some say that he still has them. ⏐Others doubt that they ever existed! ⏐Is a bridge needed at all? ⏐The council voted on it in May, and the answer was no. ⏐' +
    'So the ferry goes on. ⏐It carries letters, milk, bicycles and, now and then, a piano. ⏐The crossing takes fifty minutes. ⏐Bring a coat.',
  de:
    'Die Seilbahn wurde 1926 gebaut und fährt noch heute. ⏐Sie bringt Wanderer, Milchkannen und manchmal auch Ziegen nach oben. ⏐Eine Fahrt kostet 3,50 Euro. ⏐' +
    'Am 3. Oktober ist sie kostenlos, weil dann das Bergfest gefeiert wird. ⏐Dr. Lehner hat die Geschichte der Bahn aufgeschrieben. ⏐Sein Buch hat 240 Seiten und viele Bilder. ⏐' +
    'Warum blieb die Bahn 1957 stehen? ⏐Niemand weiß es genau. ⏐Der alte Maschinist sprach von einem Blitz. ⏐Seine Frau lachte nur darüber!\n\n⏐' +
    '„Ich war dabei“, sagte sie. ⏐„Er hat den Schlüssel verloren.“ ⏐Danach schwieg sie lange. ⏐Im Dorf leben etwa 300 Menschen. ⏐Es gibt eine Bäckerei, eine Schule und zwei Gasthäuser. ⏐' +
    'In der Schule lernt man z. B. Rechnen, Lesen und Jodeln. ⏐Die Kinder sind stolz auf ihre Bahn. ⏐Jedes Jahr malen sie eine Gondel neu an. ⏐Im letzten Sommer wurde sie grün. ⏐' +
    'Wer die Farbe wählt? ⏐Das entscheidet das Los. ⏐Oben am Gipfel steht eine kleine Hütte. ⏐Dort bekommt man Suppe, Brot und Tee. ⏐Bei klarem Wetter sieht man fünf Seen. ⏐' +
    'Bei Nebel sieht man nichts, aber die Suppe schmeckt trotzdem. ⏐Prof. Arnold kommt jeden Herbst und misst den Wind. ⏐Seine Geräte stehen hinter der Hütte. ⏐Sie klappern in der Nacht. ⏐Die Wirtin hat sich daran gewöhnt.',
  fr:
    'Le marché couvert ouvre à six heures du matin. ⏐On y vend du fromage, des poires et des fleurs coupées. ⏐M. Garnier tient le même étal depuis 1984. ⏐Il connaît tous ses clients par leur prénom. ⏐' +
    'Combien pèse un panier ? ⏐Environ 2,5 kilos, répond-il sans hésiter. ⏐Sa fille préfère travailler à la caisse. ⏐Elle compte vite et ne se trompe jamais !\n\n⏐' +
    'Le toit du marché a été refait il y a dix ans. ⏐Les travaux ont coûté 1,2 million d’euros. ⏐Pendant ce temps, les marchands vendaient sur la place. ⏐Il pleuvait souvent. ⏐Personne ne s’en plaignait vraiment. ⏐' +
    '« Nous avions des bâches », raconte Mme Petit. ⏐« Le vent les emportait. Nous courions après. » ⏐Elle rit encore de cette époque. ⏐Aujourd’hui le marché compte quarante étals. ⏐Le plus petit ne vend que des œufs. ⏐' +
    'Le plus grand appartient à une coopérative. ⏐Elle réunit neuf fermes de la vallée. ⏐Que faut-il acheter en premier ? ⏐Commencez par le pain. ⏐Il part très vite le samedi. ⏐Ensuite, prenez le temps de goûter les fromages. ⏐' +
    'On vous en donnera toujours un morceau. ⏐À midi, les lumières s’éteignent. ⏐Les balais passent entre les tables. ⏐Il ne reste que les chats. ⏐Ils attendent près de la porte. ⏐Le poissonnier ne les oublie pas.',
  es:
    'La biblioteca del pueblo está en una antigua estación de tren. ⏐Los libros ocupan la sala de espera. ⏐El Sr. Molina la dirige desde 1999. ⏐Antes fue maquinista. ⏐¿Por qué cambió de oficio? ⏐' +
    'Dice que los trenes dejaron de pasar. ⏐Los libros, en cambio, siguen llegando. ⏐Cada semana recibe unas 3,5 cajas. ⏐La Dra. Vega dona novelas policiacas. ⏐Otros traen mapas, cartas y hasta recetas. ⏐¡Una vez alguien dejó un violín!\n\n⏐' +
    'La sala infantil está en el andén. ⏐Los niños leen sentados en maletas viejas. ⏐«Aquí se viaja sin billete», dice un cartel. ⏐Por la tarde hay un taller de cuentos. ⏐Lo lleva una joven del valle. ⏐Ella inventa las historias sobre la marcha. ⏐' +
    '¿Y si se queda en blanco? ⏐Entonces los niños siguen por ella. ⏐En verano se lee al aire libre. ⏐La plaza se llena de sillas. ⏐El año pasado vinieron 240 personas. ⏐Algunas llegaron de muy lejos. ⏐' +
    'El ayuntamiento quería cerrar el edificio en 2012. ⏐Los vecinos no lo permitieron. ⏐Juntaron dinero durante siete meses. ⏐Pintaron las paredes y arreglaron el reloj. ⏐Desde entonces da la hora con cinco minutos de retraso. ⏐Nadie quiere corregirlo. ⏐Es parte de su encanto.',
  zh:
    '老城的钟楼有一百二十年的历史。⏐它一共有七层。⏐每层都有一扇小窗。⏐站在最高处可以看见整条河。⏐谁负责上发条？⏐是一位姓林的老人。⏐他每天早上六点上楼。⏐楼梯有两百零四级台阶！⏐他说这是最好的运动。⏐' +
    '冬天楼里很冷。⏐他总是带一壶热茶。⏐去年钟停了三天。⏐城里的人都很不习惯。⏐有人上班迟到了。⏐有人忘了接孩子。⏐后来工程师来了，换了一个直径3.5厘米的齿轮。⏐钟声又响了。⏐大家都很高兴。⏐' +
    '老人说：“我老了。钟也老了。” ⏐他的孙女正在学这门手艺。⏐她今年十九岁。⏐她喜欢画图，也喜欢数学。⏐她会留下来吗？⏐她自己也不知道。⏐夏天有很多游客。⏐他们拍照，买明信片，然后离开。⏐只有钟楼一直站在那里。⏐晚上河面很安静。⏐月亮照着窗户。⏐钟敲了十下。',
  ja:
    'この町には古い灯台があります。⏐建てられたのは明治の終わりです。⏐高さは二十一メートルしかありません。⏐それでも遠くの船からよく見えます。⏐灯台守は今もいるのでしょうか？⏐いいえ、もういません。⏐三十年前に自動になりました。⏐' +
    '最後の灯台守は坂本さんという人でした。⏐毎晩、日記を書いていたそうです。⏐日記は全部で四十七冊あります。⏐今は図書館に置いてあります。⏐天気のことがたくさん書いてあります。⏐風の音、魚の値段、娘の熱。⏐読むと、その夜の海が見えるようです！⏐' +
    '「海は毎日ちがう。同じ日は一度もない。」⏐最後のページにはそう書いてありました。⏐子どもたちは夏に灯台へ行きます。⏐階段は百三十段あります。⏐上に着くと、みんな静かになります。⏐風がとても強いからです。⏐帽子を飛ばされた子もいます。⏐' +
    '帰りにはかき氷を食べます。⏐店は一軒だけです。⏐おばあさんが一人でやっています。⏐注文を間違えることもあります。⏐でも、だれも怒りません。⏐秋になると店は閉まります。⏐町はまた静かになります。⏐灯台の光だけが回ります。⏐冬は長いです。',
  ar:
    'تقع المكتبة القديمة في وسط المدينة. ⏐بناها تاجر من الجنوب قبل مئة عام. ⏐فيها أكثر من ثلاثين ألف كتاب. ⏐من يعمل هناك اليوم؟ ⏐تعمل فيها السيدة هدى مع ابنها. ⏐تفتح الباب كل صباح في الساعة الثامنة. ⏐يأتي الطلاب قبل الامتحانات. ⏐ويأتي الشيوخ لقراءة الصحف. ⏐' +
    'في الشتاء تصبح القاعة باردة جدا. ⏐لذلك يشرب الناس الشاي معا. ⏐هل الكتب للبيع؟ ⏐لا، لكن يمكن استعارتها. ⏐في العام الماضي انكسر السقف! ⏐دخل الماء إلى الغرفة الكبيرة. ⏐حمل الجيران الكتب إلى بيوتهم. ⏐جففوها ورقة بعد ورقة. ⏐' +
    'لم يضع كتاب واحد. ⏐كتبت الصحيفة عن ذلك في صفحتها الأولى. ⏐بعد شهر أصلح النجارون السقف. ⏐عادت الكتب إلى أماكنها. ⏐تقول هدى: «الكتاب ضيف. والضيف لا يترك في المطر.» ⏐يضحك ابنها عندما يسمع ذلك. ⏐هو يحب الحاسوب أكثر. ⏐لكنه يرتب الرفوف كل مساء. ⏐' +
    'في المساء تطفأ الأنوار. ⏐يبقى مصباح واحد قرب الباب. ⏐يراه الناس من الشارع. ⏐يعرفون أن المكتبة بخير. ⏐فمتى تزورها أنت؟ ⏐الباب مفتوح للجميع.',
  hi:
    'गाँव के बीच में एक पुराना कुआँ है। ⏐उसका पानी बहुत मीठा है। ⏐लोग कहते हैं कि वह तीन सौ साल पुराना है। ⏐उसे किसने बनवाया? ⏐यह कोई नहीं जानता। ⏐सुबह औरतें वहाँ पानी भरती हैं। ⏐बच्चे पास के पेड़ पर खेलते हैं। ⏐पेड़ पर बहुत से तोते रहते हैं। ⏐' +
    'पिछले साल बारिश नहीं हुई। ⏐सारे तालाब सूख गए! ⏐केवल यही कुआँ भरा रहा। ⏐दूर के गाँवों से भी लोग आए। ⏐किसी को मना नहीं किया गया। ⏐मुखिया ने एक सूची बनाई। ⏐हर घर को दो घड़े मिले। ⏐झगड़ा एक बार भी नहीं हुआ। ⏐' +
    'फिर अगस्त में बादल आए। ⏐पूरी रात पानी बरसा। ⏐सुबह सब नाचने लगे। ⏐बूढ़ी दादी ने कहा, “कुएँ को धन्यवाद दो। उसने हमें बचाया।” ⏐बच्चों ने वहाँ फूल रखे। ⏐अब हर साल एक मेला लगता है। ⏐मेले में मिठाई और खिलौने बिकते हैं। ⏐शाम को गाने होते हैं। ⏐' +
    'क्या तुम वहाँ गए हो? ⏐अगले महीने मेला फिर लगेगा। ⏐रास्ता आसान है। ⏐बस नदी के पुल तक जाती है। ⏐वहाँ से पैदल चलना पड़ता है। ⏐कुआँ दूर से ही दिख जाता है।',
} as const
